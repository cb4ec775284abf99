"""Lives of several customers, random ones and two that were thought out, against the model."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.promises.test_durable import assert_sound
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.reference import FLAWS
from tests.simulation.reference_calls import BROKEN_OFF, TEXTS
from tests.simulation.state_machine import DAY_MS, Lives, lives_on
from tests.simulation.stores import FAULTS
from tests.simulation.strategies import RIGHT, How, Numbers

LIVES = {"sqlite": 40 * EFFORT, "postgresql": 15 * EFFORT}
STEPS = 60

FEW, MANY, MINE = Numbers(0, 3), Numbers(0, 290), ("own", 0)
NOBODYS = ("unknown", 0)


@pytest.fixture
def life(database_url: str) -> Iterator[Lives]:
    """A life in which only what a test says happens."""
    made = lives_on(database_url)()
    yield made
    made.teardown()


def test_every_answer_is_the_models(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a failing life is made shorter; Hypothesis itself would take five minutes.
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 15)
    lives = seed(SEED)(lives_on(database_url))
    again = f"again, with the same choices: {command(request.node.nodeid)}"
    tried = settings(
        max_examples=LIVES[database_url.partition(":")[0]],
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(lives, settings=tried)
    except Exception as error:
        error.add_note(again)
        raise
    asyncio.run(assert_sound(database_url))
    # Lives in which too little happened would agree whatever the server does.
    assert {0, 1002, 1004, 1005, 19001, 19002, 19004, 19006} <= set(lives.seen), again
    assert ("repeated", 0) in lives.seen, again


def test_a_long_life_meets_every_code_and_every_fault(life: Lives) -> None:
    """What random lives may do, nearly all of it is done once here."""
    life.begin_with_groups((1, 290, 128))
    for flaw in FLAWS:
        life.list_page(0, 0, 10, 0, How(frozenset([flaw])), None)
        life.create(1, 0, FEW, None, How(frozenset([flaw])), None)
    for late_ms in (60_000, 60_001, -60_000, -60_001):
        life.list_page(1, 0, 10, 0, How(late_ms=late_ms), None)
    for limit, offset in ((1001, 0), (-1, 0), (0, -1), (0, 2**63), (0, 2**63 - 1)):
        life.list_page(0, 0, limit, offset, RIGHT, None)
    for fault in FAULTS:
        life.create(1, 0, MANY, None, RIGHT, None)  # no page with so many numbers is kept
        life.list_page(0, 0, 0, 0, RIGHT, fault)
        life.add(0, 0, MINE, Numbers(290, 1), RIGHT, fault)
        life.take_out(0, 0, MINE, Numbers(288, 9), RIGHT, fault)
        life.create(0, 0, FEW, "a", RIGHT, fault)
        life.delete(0, 0, ("own", 0), RIGHT, fault)
        life.replace(0, 0, ("own", 1), MANY, RIGHT, fault)
        life.list_all_on_both(0, None)
    life.add(0, 0, ("another's", 0), FEW, RIGHT, None)
    life.add(0, 2, MINE, Numbers(200, 290), RIGHT, None)
    life.rotate_key(0, 20_000)
    life.expire_key(1, 20_000)
    for ms in (0, 19_999, 1):
        life.move_time(ms, 1)
        life.list_page(0, 0, 10, 0, How(secret=-2), None)
        life.list_all_on_both(1, None)
    for change in (life.disable_key, life.disable_customer, life.demand_sha256):
        for is_so in (True, False):
            change(0, is_so)
            life.list_page(1, 0, 10, 0, How(algorithm="md5"), None)
    life.restart(0, 0)
    life.list_all_on_both(0, None)
    life.create(0, 0, FEW, "a", RIGHT, None, "a token")
    life.create(0, 0, FEW, "another wish", RIGHT, None, "a token")
    asyncio.run(assert_sound(life.url))
    assert set(TEXTS) | {BROKEN_OFF.code} | set(FAULTS) <= set(life.seen)


def test_a_write_sent_again_is_answered_as_it_was_and_changes_nothing(life: Lives) -> None:
    life.begin_with_groups((1, 290, 128))
    life.create(0, 0, FEW, None, RIGHT, None)
    life.create(0, 0, FEW, None, RIGHT, None, "a token")
    life.add(0, 1, MINE, Numbers(0, 290), RIGHT, None)
    life.add(0, 1, MINE, Numbers(290, 20), RIGHT, None)  # there is no room for so many
    life.take_out(1, 0, MINE, Numbers(0, 280), RIGHT, None)  # now there would be
    life.replace(0, 0, MINE, FEW, RIGHT, None)
    life.delete(1, 0, MINE, RIGHT, None)
    life.delete(1, 0, NOBODYS, RIGHT, None)
    writes = len(life.sent)
    for fault in (None, *FAULTS):
        for back in range(writes):
            life.repeat(back % 2, back, fault)
    for worker in (0, 1):
        life.restart(worker, 0)
    life.put_clock_wrong(1, 59_999)
    life.move_time(60_000, 0)
    life.forget_notes(1)
    for back in range(writes):
        life.repeat(0, back, None)
    life.move_time(1, 0)
    for back in range(writes):
        life.repeat(0, back, None)
    codes = (0, 1004, 19001, 19002, 19004)
    assert {("repeated", code) for code in codes} <= set(life.seen)


def test_a_write_whose_storage_failed_is_sent_again(life: Lives) -> None:
    life.begin_with_groups((1, 3, 128))
    for fault in FAULTS:
        life.create(0, 0, FEW, None, RIGHT, fault)
        life.repeat(1, 0, None)
        life.create(0, 0, FEW, None, RIGHT, fault, f"token {fault.error.code} {fault.when}")
        life.repeat(1, 0, None)
        life.add(0, 0, MINE, MANY, RIGHT, fault)
        life.repeat(1, 0, None)
        life.delete(0, 0, NOBODYS, RIGHT, fault)
        life.repeat(1, 0, None)
        life.delete(0, 0, MINE, RIGHT, fault)
        life.repeat(1, 0, None)
        life.repeat(0, 0, fault)
    assert {19004, 19006, ("repeated", 0), ("repeated", 19001)} <= set(life.seen)


def test_a_client_token_stands_for_one_group_for_a_day(life: Lives) -> None:
    life.begin_with_groups((1, 3, 128))
    for key in (0, 1, 2):  # the first two are one customer's
        life.create(0, key, FEW, "a", RIGHT, None, "token")
    for fault in (None, *FAULTS):
        life.create(1, 0, FEW, "a", RIGHT, fault, "token")
        life.repeat(0, 0, None)
        life.create(1, 0, FEW, "b", RIGHT, fault, "token")
        life.repeat(0, 0, None)
    life.move_time(DAY_MS - 60_000, 0)
    life.create(0, 0, FEW, "a", RIGHT, None, "token")
    life.create(0, 0, FEW, "b", RIGHT, None, "token")
    life.move_time(60_000, 0)
    # The token is free again, but not for requests that were answered while it was not.
    life.repeat(1, 0, None)
    life.repeat(1, 1, None)
    life.create(0, 0, FEW, "b", RIGHT, None, "token")
    life.create(0, 0, FEW, "a", RIGHT, None, "token")
    life.list_all_on_both(0, None)
    assert {19004, ("repeated", 0), ("repeated", 19007)} <= set(life.seen)
