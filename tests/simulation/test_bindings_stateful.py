"""Bindings and calls against the model: random sequences, also with wrong implementations."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.helpers import on_sqlite_only
from tests.promises.test_durable import assert_sound
from tests.simulation.binding_machine import BindingMachine, Pair
from tests.simulation.binding_steps import steps
from tests.simulation.effort import EFFORT, SEED, command
from tests.simulation.wrong_bindings import WRONG, WRONG_IN_ORDER

from openpns.errors import InternalError
from openpns.routing import digits

RUNS = {"sqlite": 30 * EFFORT, "postgresql": 15 * EFFORT}
RUNS_UNTIL_FOUND = 150
STEPS = 60


@pytest.fixture
def pair(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(digits, "SLOW_S", 0.0)
    made = Pair(database_url)
    yield made
    made.close()


def run(pair: Pair, runs: int, phases: tuple[Phase, ...], of_seed: int = SEED) -> None:
    """Do random steps."""

    @seed(of_seed)
    @settings(
        max_examples=runs,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(count=st.sampled_from([1, 2, 2, 3]), drawn=steps(STEPS))
    def play(count: int, drawn: list[tuple[str, dict[str, Any]]]) -> None:
        machine = BindingMachine(pair, count)
        for step in drawn:
            machine.do(step)
        machine.look_at_everything(0)

    play()


def test_bindings_are_those_of_the_model_after_random_steps(
    database_url: str,
    pair: Pair,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", 15)
    runs = RUNS[database_url.partition(":")[0]]
    try:
        run(pair, runs, (Phase.generate, Phase.shrink))
    except BaseException as error:
        error.add_note(f"to repeat it: {command(request.node.nodeid)}")
        raise
    asyncio.run(assert_sound(database_url))
    assert {0, 1002, 10004, 10008, 10010, 10013} <= set(pair.seen)


@on_sqlite_only
@pytest.mark.parametrize("name", WRONG | WRONG_IN_ORDER)
def test_model_finds_wrong_implementations(
    name: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (WRONG | WRONG_IN_ORDER)[name](monkeypatch)
    pair = Pair(database_url)
    try:
        with pytest.raises((AssertionError, InternalError)):
            run(pair, RUNS_UNTIL_FOUND, (Phase.generate,), of_seed=1)
    finally:
        pair.close()
