"""The order in which connections are parsed and answered, with a clock that the work moves."""

import asyncio
from typing import Any, cast

import pytest

from openpns.transport import answering
from openpns.transport.answering import Answering


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(answering, "perf_counter", clock)
    return clock


class Peer:
    """A connection that notes when it is answered; each answer takes some time."""

    def __init__(self, name: str, done: list[str], clock: Clock, *, is_known: bool = False) -> None:
        self.place = name[0]
        self.is_known = is_known
        self.answers = 1
        self.takes_s = 0.0
        self.is_broken = False
        self.is_aborted = False
        self._name = name
        self._done = done
        self._clock = clock

    def parse(self) -> None:
        pass

    def answer(self) -> bool:
        if self.is_broken:
            raise RuntimeError
        self._clock.now_s += self.takes_s
        self._done.append(self._name)
        self.answers -= 1
        return self.answers > 0

    def flush(self) -> None:
        self._done.append("|") if self._done[-1] != "|" else None

    def abort(self) -> None:
        self.is_aborted = True


async def answered(*peers: Peer) -> None:
    answering = Answering()
    for peer in peers:
        answering.add(cast("Any", peer), cast("Any", peer))
    while answering._is_waiting:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0)


async def test_known_connections_go_first_and_a_few_keep_their_order(clock: Clock) -> None:
    done: list[str] = []
    strangers = [Peer(name, done, clock) for name in ("a1", "a2", "b1")]
    known = [Peer(name, done, clock, is_known=True) for name in ("c1", "c2", "d1")]
    await answered(*strangers, *known)
    assert done == ["c1", "c2", "d1", "|", "a1", "a2", "b1", "|"]


async def test_places_of_a_crowd_take_turns(clock: Clock) -> None:
    done: list[str] = []
    crowd = [Peer(f"a{number}", done, clock) for number in range(40)]
    others = [Peer(name, done, clock) for name in ("b1", "b2", "c1")]
    await answered(*crowd, *others)
    assert done[:5] == ["a0", "b1", "c1", "a1", "b2"]
    assert done[5:] == [*(f"a{number}" for number in range(2, 40)), "|"]


async def test_turn_ends_in_time_and_the_rest_goes_on_in_order(clock: Clock) -> None:
    done: list[str] = []
    strangers = [Peer(f"a{number}", done, clock) for number in range(6)]
    for peer in strangers:
        peer.takes_s = 0.0006
    known = Peer("k", done, clock, is_known=True)
    known.answers = 2
    await answered(*strangers, known)
    # A stranger's answer that has begun goes on: two in each turn, after the known one's.
    assert done == ["k", "|", "a0", "a1", "|", "k", "|", "a2", "a3", "|", "a4", "a5", "|"]


async def test_connection_that_fails_harms_no_other(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []
    peers = [Peer(name, done, clock) for name in ("a1", "a2", "a3")]
    peers[1].is_broken = True
    await answered(*peers)
    assert done == ["a1", "a3", "|"]
    assert [peer.is_aborted for peer in peers] == [False, True, False]
    assert "connection closed: it failed" in caplog.text
