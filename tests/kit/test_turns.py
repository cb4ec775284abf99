import asyncio

import pytest

from openpns.errors import Overloaded
from openpns.kit.turns import OwnerCounts, Places, TurnQueue


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


def places(
    at_once: int = 2, per_owner: int = 2, waiting: int = 8, timeout_s: float = 60.0
) -> Places:
    return Places("searches", at_once, per_owner, waiting, timeout_s)


def test_queue_serves_owners_in_rotation_and_each_in_order() -> None:
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.add(item[0], item)
    assert (len(queue), queue.count("a"), queue.count("z")) == (6, 3, 0)
    served = [queue.take(), queue.take()]
    queue.add("d", "d1")
    queue.add("a", "a4")
    served += [queue.take() for _ in range(len(queue))]
    assert served == ["a1", "b1", "c1", "a2", "b2", "d1", "a3", "a4"]
    with pytest.raises(LookupError):
        queue.take()


def test_queue_gives_the_first_item_of_one_owner() -> None:
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "b1", "b2"):
        queue.add(item[0], item)
    assert [queue.take("b"), queue.take(), queue.take()] == ["b1", "a1", "b2"]


def test_queue_puts_an_owner_after_all_others_who_wait() -> None:
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "b1", "c1"):
        queue.add(item[0], item)
    queue.put_last("a")
    queue.put_last("z")  # it does not wait
    assert [queue.take() for _ in range(len(queue))] == ["b1", "c1", "a1", "a2"]


def test_queue_puts_back_what_was_taken_in_the_same_order() -> None:
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "b1", "c1"):
        queue.add(item[0], item)
    taken = [queue.take() for _ in range(4)]
    queue.add("d", "d1")
    for item in reversed(taken):
        queue.put_back(item[0], item)
    assert [queue.take() for _ in range(len(queue))] == [*taken[:3], "d1", "a2"]


def test_queue_removes_an_item_and_keeps_the_turns() -> None:
    queue: TurnQueue[str] = TurnQueue()
    for item in ("a1", "a2", "b1", "c1"):
        queue.add(item[0], item)
    for item in ("a1", "b1", "b2", "z1"):  # the last two do not wait
        queue.remove(item[0], item)
    assert (len(queue), queue.owners(), queue.count("a")) == (2, ["a", "c"], 1)
    assert [queue.take(), queue.take()] == ["a2", "c1"]


def test_owner_counts_refuse_only_the_owner_who_has_too_much() -> None:
    counts = OwnerCounts("writes", 2)
    for owner in ("a", "a", "", "", ""):
        counts.enter(owner)
    with pytest.raises(Overloaded, match="has 2 writes waiting already; nothing was written"):
        counts.enter("a")
    counts.enter("b")
    counts.leave("a")
    counts.enter("a")


async def test_places_hold_one_owner_to_its_share() -> None:
    shared = places(at_once=3, per_owner=2)
    for owner in ("a", "a", "b"):
        await shared.take(owner)
    waiting = [asyncio.ensure_future(shared.take(owner)) for owner in ("a", "a", "b")]
    await turn()
    assert (shared.in_flight, shared.waiting) == (3, 3)
    shared.give("b")
    await turn()  # a's turn comes first, but it has its share
    assert [one.done() for one in waiting] == [False, False, True]
    shared.give("a")
    await turn()
    assert [one.done() for one in waiting] == [True, False, True]
    shared.give("a")
    await asyncio.gather(*waiting)
    assert (shared.in_flight, shared.waiting) == (3, 0)


async def test_places_leave_one_to_other_owners() -> None:
    shared = places(at_once=2, per_owner=9)
    await shared.take("a")
    waiting = asyncio.ensure_future(shared.take("a"))
    await turn()
    await asyncio.wait_for(shared.take("b"), 10)
    assert (shared.in_flight, shared.waiting) == (2, 1)
    shared.give("a")
    await waiting


async def test_places_serve_owners_in_turns_whoever_came_first() -> None:
    shared = places(at_once=1)
    await shared.take("a")
    served: list[str] = []

    async def work(owner: str) -> None:
        await shared.take(owner)
        served.append(owner)
        shared.give(owner)

    waiting = [asyncio.ensure_future(work(owner)) for owner in ("a", "a", "a", "b", "c", "b")]
    await turn()
    shared.give("a")
    await asyncio.gather(*waiting)
    assert served == ["a", "b", "c", "a", "b", "a"]
    assert shared.in_flight == 0


async def test_places_refuse_an_owner_with_too_much_waiting() -> None:
    shared = places(at_once=1, waiting=1)
    await shared.take("a")
    waiting = asyncio.ensure_future(shared.take("a"))
    await turn()
    with pytest.raises(Overloaded, match="has 1 searches waiting already"):
        await shared.take("a")
    other = asyncio.ensure_future(shared.take("b"))
    for owner in ("a", "a"):
        shared.give(owner)
        await turn()
    assert waiting.done()
    await other


async def test_places_let_any_number_wait_without_an_owner() -> None:
    shared = places(at_once=1, waiting=1)
    await shared.take("")
    waiting = [asyncio.ensure_future(shared.take("")) for _ in range(3)]
    await turn()
    assert shared.waiting == 3
    for _ in range(4):
        shared.give("")
        await turn()
    await asyncio.gather(*waiting)


async def test_places_end_a_wait_that_takes_too_long() -> None:
    shared = places(at_once=1, timeout_s=0.001)
    await shared.take("a")
    with pytest.raises(Overloaded, match=r"waited longer than 0\.001 s for their turn"):
        await shared.take("b")
    assert shared.waiting == 0
    shared.give("a")
    assert (shared.in_flight, shared.waiting) == (0, 0)


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["timed out", "cancelled"])
async def test_places_count_no_wait_that_has_ended(*, is_cancelled: bool) -> None:
    shared = places(at_once=1, waiting=1, timeout_s=60.0 if is_cancelled else 0.001)
    await shared.take("a")
    for _ in range(2):  # the second is not refused because of the first
        waiting = asyncio.ensure_future(shared.take("b"))
        await turn()
        if is_cancelled:
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError if is_cancelled else Overloaded) as raised:
            await waiting
        assert is_cancelled or "waited longer" in str(raised.value)
        assert shared.waiting == 0


@pytest.mark.parametrize("is_given", [False, True], ids=["waits", "has its place"])
async def test_places_lose_none_to_a_cancelled_caller(*, is_given: bool) -> None:
    shared = places(at_once=1)
    await shared.take("a")
    waiting = asyncio.ensure_future(shared.take("b"))
    await turn()
    if is_given:
        shared.give("a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not is_given:
        shared.give("a")
    assert (shared.in_flight, shared.waiting) == (0, 0)
