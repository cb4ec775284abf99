"""Writes of many callers in one PostgreSQL transaction: one commit and few round trips.

Writes of one customer wait for each other anyway, because each changes the customer's row. Those
that arrive while one is in flight wait in the worker and then run together in lockstep: the first
step of all in one round trip, then the second of all, and so on. Writes that have a resource in
common run one after the other in that transaction.

Source: docs/decisions/0027-shared-transactions.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from openpns.kit.in_flight import Batch, copy_error, settle
from openpns.storage.store import BatchKey, Row, Step, Transaction, names_of

_WRITES_MAX: Final = 64

_PASSES_MAX: Final = 2
"""Attempts to run a batch together; writes that failed in the first are not in the second."""

MakeSteps: TypeAlias = Callable[[], Transaction[Any]]
Outcome: TypeAlias = tuple[Any, Exception | None]
"""The result of a write, or what it was refused with before it had changed anything."""


class PendingWrite:
    """A write that waits for its batch."""

    __slots__ = ("customer_id", "future", "resources", "steps")

    def __init__(self, resources: Sequence[str], steps: MakeSteps, customer_id: str = "") -> None:
        self.resources = resources
        self.customer_id = customer_id
        self.steps = steps
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, result: Any = None, error: BaseException | None = None) -> None:
        """Pass on the result or the error, once.

        The write does not keep the future: the traceback of the error refers to frames that have
        the write. Only a garbage collection finds such a cycle, and a full one stops the event
        loop.
        """
        future = self.future
        del self.future
        settle(future, result, error)


class BatchFailed(Exception):
    """A batch was rolled back, because the writes at these places failed."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__()
        self.places = places


class WriteBatcher:
    """Runs writes of the same kind together, one transaction at a time for each kind.

    Args:
        run_together: Runs writes in one transaction. Raises BatchFailed, with nothing written, if
            some of them must run alone.
    """

    def __init__(
        self,
        run_together: Callable[[Sequence[PendingWrite]], Awaitable[Sequence[Outcome]]],
        run_alone: Callable[[MakeSteps, str], Awaitable[Any]],
    ) -> None:
        self._run_together = run_together
        self._run_alone = run_alone
        self._batches: dict[str, Batch[PendingWrite]] = {}

    async def run(self, key: BatchKey, steps: MakeSteps, customer_id: str = "") -> Any:
        """Return a write's result once it is on disk; writes of a kind are of one customer.

        Raises:
            WireError: As a write that runs alone; nothing is written then.
        """
        batch = self._batches.get(key.kind)
        if batch is None:
            batch = self._batches[key.kind] = Batch(
                self._run, _WRITES_MAX, 1, lambda: self._batches.pop(key.kind)
            )
        write = PendingWrite(key.resources, steps, customer_id)
        batch.add(write)
        return await write.future

    async def _run(self, batch: list[PendingWrite]) -> None:
        alone: list[PendingWrite] = []
        for _ in range(_PASSES_MAX):
            if len(batch) < 2:  # noqa: PLR2004
                break
            try:
                outcomes = await self._run_together(batch)
            except BatchFailed as failure:
                alone += [batch[place] for place in failure.places]
                batch = [write for write in batch if write not in alone]
                continue
            except BaseException as error:  # noqa: BLE001 - raised to each caller
                for write in batch:
                    write.settle(error=copy_error(error))
                batch = []
                break
            for write, (result, refusal) in zip(batch, outcomes, strict=True):
                write.settle(result, refusal)
            batch = []
        for write in (*batch, *alone):
            try:
                result = await self._run_alone(write.steps, write.customer_id)
            except BaseException as error:  # noqa: BLE001 - raised to its caller
                write.settle(error=error)
            else:
                write.settle(result)


async def run_lockstep(
    writes: Sequence[PendingWrite],
    run: Callable[[Sequence[Step]], Awaitable[Sequence[Sequence[Row]]]],
) -> list[Outcome]:
    """Run the next step of all writes until all have ended; return each outcome.

    `run` runs steps and returns the rows of each.

    Raises:
        BatchFailed: Some writes failed after they had changed something, or do not begin alike.
    """
    outcomes: list[Outcome] = [(None, None)] * len(writes)
    lanes = [_Lane(writes, places, outcomes) for places in _places_of_lanes(writes)]
    try:
        steps = [(lane, step) for lane in lanes if (step := lane.start()) is not None]
        # The first step locks the resources, in the same order for all workers, so that no two
        # batches wait for each other. That takes one statement for all.
        if len({names_of(step) for _, step in steps}) > 1:
            raise BatchFailed(range(len(writes)))
        while steps:
            found = await run([step for _, step in steps])
            steps = [
                (lane, step)
                for (lane, _), rows in zip(steps, found, strict=True)
                if (step := lane.advance(rows)) is not None
            ]
            failed = [lane.failed for lane in lanes if lane.failed is not None]
            if failed:
                raise BatchFailed(failed)
    finally:
        for lane in lanes:
            lane.close()
    return outcomes


def _places_of_lanes(writes: Sequence[PendingWrite]) -> list[list[int]]:
    """Return the places of the writes of each lane; the lanes are in the order of their resources.

    Writes that have a resource in common are in one lane, in their order.
    """
    lanes: list[tuple[set[str], list[int]]] = []
    seen: set[str] = set()
    for place, write in enumerate(writes):
        resources, places, others = set(write.resources), [place], lanes
        if not seen.isdisjoint(resources):
            others = [lane for lane in lanes if lane[0].isdisjoint(write.resources)]
            for joined in lanes:
                if not joined[0].isdisjoint(write.resources):
                    resources |= joined[0]
                    places += joined[1]
        seen |= resources
        lanes = [*others, (resources, sorted(places))]
    return [places for _, places in sorted(lanes, key=lambda lane: min(lane[0]))]


class _Lane:
    """The writes of a batch that have resources in common, which run one after the other."""

    def __init__(
        self, writes: Sequence[PendingWrite], places: list[int], outcomes: list[Outcome]
    ) -> None:
        self.failed: int | None = None
        """The place of a write that failed after it had changed something."""
        self._writes = writes
        self._waiting = places[::-1]
        self._outcomes = outcomes

    def start(self) -> Step | None:
        """Return the first step of the next write; None after the last write."""
        while self._waiting:
            self._place = self._waiting.pop()
            self._transaction = self._writes[self._place].steps()
            self._is_unchanged = True
            step = self._resume(None)
            if step is not None:
                return step
        return None

    def advance(self, rows: Sequence[Row]) -> Step | None:
        """Return the step that follows one with these rows; None after the last write."""
        # A statement that changes something returns rows here, whether the write needs them or not.
        self._is_unchanged = self._is_unchanged and not any(rows)
        step = self._resume(rows)
        return self.start() if step is None and self.failed is None else step

    def close(self) -> None:
        """End the write that is running, if any."""
        self._transaction.close()

    def _resume(self, rows: Sequence[Row] | None) -> Step | None:
        """Return the next step of the write that is running; None if it has ended."""
        try:
            return next(self._transaction) if rows is None else self._transaction.send(rows)
        except StopIteration as stop:
            self._outcomes[self._place] = (stop.value, None)
        except Exception as error:  # noqa: BLE001 - raised to its caller, now or when it runs alone
            if self._is_unchanged:
                # Without this frame, which has the outcomes: a cycle.
                trace = error.__traceback__ and error.__traceback__.tb_next
                self._outcomes[self._place] = (None, error.with_traceback(trace))
            else:
                self.failed = self._place
        return None
