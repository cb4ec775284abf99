"""Requests of several customers against the model: random sequences, and some written by hand."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.promises.test_durable import assert_sound
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.reference import FLAWS
from tests.simulation.reference_requests import TEXTS, TRUNCATED
from tests.simulation.state_machine import DAY_MS, FEW, StateMachine, machine_on
from tests.simulation.stores import FAULTS
from tests.simulation.strategies import RIGHT, How, Phones

from openpns.server import application

RUNS = {"sqlite": 40 * EFFORT, "postgresql": 15 * EFFORT}
STEPS = 60
ROUNDS_MAX = 5

PLAIN_KEY, UNIQUE_TS_KEY = 0, 1
"""Two keys of one customer."""

MANY, OWN = Phones(0, 290), ("own", 0)
UNKNOWN = ("unknown", 0)


@pytest.fixture(autouse=True)
def _no_periodic_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tests delete expired records: the model must know when."""
    monkeypatch.setattr(application, "CLEAN_UP_S", 3600.0)


@pytest.fixture
def machine(database_url: str) -> Iterator[StateMachine]:
    """A state machine that does only what the test says."""
    made = machine_on(database_url)()
    yield made
    made.teardown()


def test_server_responds_as_the_model_to_random_requests(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a failing run is shrunk; the default of Hypothesis is five minutes.
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 15)
    machine = machine_on(database_url)
    again = f"to repeat it: {command(request.node.nodeid)}"
    tried = settings(
        max_examples=RUNS[database_url.partition(":")[0]],
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    # Runs in which too little happens would agree whatever the server does: go on until each of
    # these was seen.
    codes = {0, 1002, 1004, 1005, 19001, 19002, 19004, 19006}
    wanted = codes | {("copy", 0), ("copy", 19001)}
    for more in range(ROUNDS_MAX):
        try:
            run_state_machine_as_test(seed(SEED + more)(machine), settings=tried)
        except Exception as error:
            error.add_note(again)
            raise
        if wanted <= set(machine.seen):
            break
    asyncio.run(assert_sound(database_url))
    assert wanted <= set(machine.seen), again


def test_server_responds_as_the_model_with_every_code_and_every_fault(
    machine: StateMachine,
) -> None:
    """Nearly everything that random runs may do is done once here."""
    machine.begin_with_groups((1, 290, 128))
    for flaw in FLAWS:
        machine.list_page(0, 0, 10, 0, How(frozenset([flaw])), None)
        machine.create(1, 0, FEW, None, How(frozenset([flaw])), None)
    for late_ms in (60_000, 60_001, -60_000, -60_001):
        machine.list_page(1, 0, 10, 0, How(late_ms=late_ms), None)
    for limit, offset in ((1001, 0), (-1, 0), (0, -1), (0, 2**63), (0, 2**63 - 1)):
        machine.list_page(0, 0, limit, offset, RIGHT, None)
    for fault in FAULTS:
        machine.create(1, 0, MANY, None, RIGHT, None)  # a page with so many phones is not cached
        machine.list_page(0, 0, 0, 0, RIGHT, fault)
        machine.add(0, 0, OWN, Phones(290, 1), RIGHT, fault)
        machine.remove(0, 0, OWN, Phones(288, 9), RIGHT, fault)
        machine.create(0, 0, FEW, "a", RIGHT, fault)
        machine.delete(0, 0, ("own", 0), RIGHT, fault)
        machine.replace(0, 0, ("own", 1), MANY, RIGHT, fault)
        machine.list_all_on_both(0, None)
    machine.add(0, 0, ("another's", 0), FEW, RIGHT, None)
    machine.add(0, 2, OWN, Phones(200, 290), RIGHT, None)
    machine.rotate_key(0, 20_000)
    machine.expire_key(1, 20_000)
    for ms in (0, 19_999, 1):
        machine.move_time(ms, 1)
        machine.list_page(0, 0, 10, 0, How(secret=-2), None)
        machine.list_all_on_both(1, None)
    for change in (machine.disable_key, machine.disable_customer, machine.require_sha256):
        for is_so in (True, False):
            change(0, is_so)
            machine.list_page(1, 0, 10, 0, How(algorithm="md5"), None)
    machine.restart(0, 0)
    machine.list_all_on_both(0, None)
    machine.create(0, 0, FEW, "a", RIGHT, None, "a token")
    machine.create(0, 0, FEW, "another name", RIGHT, None, "a token")
    asyncio.run(assert_sound(machine.url))
    assert set(TEXTS) | {TRUNCATED.code} | set(FAULTS) <= set(machine.seen)


def write_everything(machine: StateMachine, key: int, token: str | None = None) -> int:
    """Send each kind of write, some that are refused; return how many were sent.

    Args:
        token: How the client token of each write begins; None sends none.
    """
    sent = len(machine.sent)

    def own_token() -> str | None:
        return None if token is None else f"{token}-{len(machine.sent)}"

    machine.create(0, key, FEW, None, RIGHT, None, own_token())
    machine.create(0, key, Phones(0, 301), None, RIGHT, None, own_token())  # too many phones
    machine.add(0, key, OWN, Phones(0, 290), RIGHT, None, own_token())
    machine.add(0, key, OWN, Phones(290, 20), RIGHT, None, own_token())  # the group is full
    machine.remove(1, key, OWN, Phones(0, 280), RIGHT, None, own_token())  # now it is not
    machine.replace(0, key, OWN, FEW, RIGHT, None, own_token())
    machine.delete(1, key, OWN, RIGHT, None, own_token())
    machine.delete(1, key, UNKNOWN, RIGHT, None, own_token())
    return len(machine.sent) - sent


def send_all_again(machine: StateMachine, writes: int, *, with_faults: bool) -> None:
    for fault in (None, *FAULTS) if with_faults else (None,):
        for back in range(writes):
            machine.send_again(back % 2, back, fault)


def test_server_carries_out_identical_requests_each_time(machine: StateMachine) -> None:
    machine.begin_with_groups((1, 290, 128))
    writes = write_everything(machine, PLAIN_KEY)
    send_all_again(machine, writes, with_faults=True)
    for _ in range(3):
        machine.create(0, PLAIN_KEY, FEW, "the same", RIGHT, None)
    for _ in range(3):
        machine.delete(0, PLAIN_KEY, OWN, RIGHT, None)
    assert {("copy", code) for code in (0, 19001, 19002)} <= set(machine.seen)


def test_server_answers_copies_of_unique_ts_keys_as_first(machine: StateMachine) -> None:
    machine.begin_with_groups((1, 290, 128))
    writes = write_everything(machine, UNIQUE_TS_KEY)
    writes += write_everything(machine, UNIQUE_TS_KEY, "token")
    send_all_again(machine, writes, with_faults=True)
    for worker in (0, 1):
        machine.restart(worker, 0)
    send_all_again(machine, writes, with_faults=False)
    machine.put_clock_wrong(1, 59_999)
    machine.move_time(60_000, 0)
    machine.delete_expired_records(1)
    for back in range(writes):
        machine.send_again(0, back, None)
    machine.move_time(1, 0)
    for back in range(writes):
        machine.send_again(0, back, None)
    codes = (0, 1004, 19001, 19002, 19004, 19006)
    assert {("copy", code) for code in codes} <= set(machine.seen)


def test_server_follows_changes_of_unique_ts_from_the_next_request_on(
    machine: StateMachine,
) -> None:
    machine.begin_with_groups((1, 3, 128))
    for is_required in (False, True, False, True):
        machine.require_unique_ts(UNIQUE_TS_KEY, is_required)
        machine.create(0, UNIQUE_TS_KEY, FEW, None, RIGHT, None)
        machine.delete(0, UNIQUE_TS_KEY, OWN, RIGHT, None)
        for back in range(len(machine.sent)):
            machine.send_again(1, back, None)
            machine.send_again(0, back, None)
    assert {("copy", 0), ("copy", 19001)} <= set(machine.seen)


@pytest.mark.parametrize("key", [PLAIN_KEY, UNIQUE_TS_KEY])
def test_server_answers_retries_with_client_tokens_as_first(
    machine: StateMachine, key: int
) -> None:
    machine.begin_with_groups((1, 290, 128))
    writes = write_everything(machine, key, "token")
    for fault in (None, *FAULTS):
        for back in range(writes):
            retry = machine.retry_of(back % 2, key, back, fault)
            machine.send_copy(1 - back % 2, retry, None)
            machine.send_again(back % 2, back, fault)
        machine.list_all_on_both(key, None)
    for back in range(writes):
        machine.retry(0, PLAIN_KEY, back, None)
        machine.retry(1, UNIQUE_TS_KEY, back, None)
        machine.retry(1, 2, back, None)  # another customer's
    assert {("copy", code) for code in (0, 19001, 19002, 19004, 19006)} <= set(machine.seen)


@pytest.mark.parametrize(
    ("key", "token"),
    [(PLAIN_KEY, "token"), (UNIQUE_TS_KEY, "token"), (UNIQUE_TS_KEY, None), (PLAIN_KEY, None)],
)
def test_server_treats_copies_after_a_reversal_as_the_model(
    machine: StateMachine, key: int, token: str | None
) -> None:
    """Without a token and unique-ts, each is carried out again: the model knows."""
    machine.begin_with_groups((1, 290, 128))
    for number, change in enumerate((machine.add, machine.remove, machine.replace)):
        change(0, key, OWN, Phones(1, 3), RIGHT, None, token and f"{token} {number}")
        for worker in (0, 1):
            machine.reverse_and_send_again(worker, worker)
    assert ("copy", 0) in machine.seen


def test_server_refuses_another_body_with_a_client_token(machine: StateMachine) -> None:
    machine.begin_with_groups((1, 290, 128))
    machine.create(0, PLAIN_KEY, FEW, None, RIGHT, None)
    for number, change in enumerate((machine.add, machine.remove, machine.replace)):
        token = f"token {number}"
        change(0, PLAIN_KEY, OWN, FEW, RIGHT, None, token)
        change(1, PLAIN_KEY, OWN, Phones(1, 3), RIGHT, None, token)
        change(1, PLAIN_KEY, ("own", 1), FEW, RIGHT, None, token)
        machine.replace(1, PLAIN_KEY, OWN, MANY, RIGHT, None, token)
    machine.create(0, PLAIN_KEY, FEW, "a", RIGHT, None, "token")
    machine.create(1, PLAIN_KEY, MANY, "a", RIGHT, None, "token")
    machine.delete(0, PLAIN_KEY, OWN, RIGHT, None, "token")
    machine.delete(1, PLAIN_KEY, OWN, RIGHT, None, "token")  # another group is the newest now
    assert machine.seen[19007] >= 11


@pytest.mark.parametrize("key", [PLAIN_KEY, UNIQUE_TS_KEY])
def test_server_answers_copies_after_storage_faults_as_the_model(
    machine: StateMachine, key: int
) -> None:
    machine.begin_with_groups((1, 3, 128))
    for number, fault in enumerate(FAULTS):
        for token in (None, f"token {number}"):
            machine.create(0, key, FEW, None, RIGHT, fault, token)
            machine.send_again(1, 0, None)
            machine.add(0, key, OWN, MANY, RIGHT, fault, token)
            machine.send_again(1, 0, None)
            machine.delete(0, key, UNKNOWN, RIGHT, fault, token)
            machine.send_again(1, 0, None)
            machine.delete(0, key, OWN, RIGHT, fault, token and f"{token} again")
            machine.send_again(1, 0, None)
            machine.send_again(0, 0, fault)
            retry = machine.retry_of(1, key, 0, fault)
            machine.send_copy(0, retry, None)
    assert {19004, 19006, ("copy", 0), ("copy", 19001)} <= set(machine.seen)


def test_server_recognises_a_client_token_for_a_day(machine: StateMachine) -> None:
    machine.begin_with_groups((1, 3, 128))
    for key in (0, 1, 2):  # the first two belong to one customer
        machine.create(0, key, FEW, "a", RIGHT, None, "token")
    for fault in (None, *FAULTS):
        machine.create(1, 0, FEW, "a", RIGHT, fault, "token")
        machine.send_again(0, 0, None)
        machine.create(1, 0, FEW, "b", RIGHT, fault, "token")
        machine.send_again(0, 0, None)
    machine.move_time(DAY_MS - 60_000, 0)
    machine.create(0, 0, FEW, "a", RIGHT, None, "token")
    machine.create(0, 0, FEW, "b", RIGHT, None, "token")
    machine.move_time(60_000, 0)
    machine.send_again(1, 0, None)
    machine.send_again(1, 1, None)
    machine.create(0, 0, FEW, "b", RIGHT, None, "token")
    machine.create(0, 0, FEW, "a", RIGHT, None, "token")
    machine.list_all_on_both(0, None)
    assert {19004, ("copy", 0), ("copy", 19007)} <= set(machine.seen)


def test_server_keeps_the_record_of_a_signature_when_its_token_expires(
    machine: StateMachine,
) -> None:
    """A write that found its token recorded stays a copy by its signature after that."""
    machine.begin_with_groups((1, 290, 128))
    key = UNIQUE_TS_KEY
    machine.add(0, key, OWN, Phones(290, 9), RIGHT, None, "added")
    machine.replace(0, key, OWN, Phones(0, 299), RIGHT, None, "replaced")
    machine.delete(0, key, OWN, RIGHT, None, "deleted")
    machine.create(0, key, Phones(0, 299), None, RIGHT, None)
    machine.move_time(DAY_MS - 30_000, key)
    retries = [machine.retry_of(0, key, back) for back in range(3)]
    machine.move_time(60_000, key)
    machine.seen.clear()
    for retry in retries:
        machine.send_copy(1, retry, None)
    machine.list_all_on_both(key, None)
    assert machine.seen["copy", 0] == len(retries)
