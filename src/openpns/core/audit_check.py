"""What `openpns verify` checks of the audit trail."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from openpns.clock import Clock, now_ms
from openpns.core.audit import CUSTOMER_CREATED, NO_CUSTOMER
from openpns.core.audit_chain import Head, digest_of
from openpns.core.audit_prune import ACTION as PRUNE
from openpns.core.verify import Report
from openpns.errors import ConfigError
from openpns.storage.store import Store

WAIT_MS_MAX: Final = 60_000
"""How much longer than other entries one may wait for its seal."""

LATE_MS_MAX: Final = 600_000
"""How far the time of an entry may be from that at which it was added. A write takes seconds, and
the clocks of nodes differ by less than a minute."""

_ROWS_EACH: Final = 256


class _Mark(msgspec.Struct):
    """The details of an entry about pruning: the last entry that was deleted."""

    seq: int
    digest: str


async def check_audit(store: Store, report: Report, clock: Clock = now_ms) -> Mapping[str, int]:
    """Check every entry and every chain.

    Each entry is the one that was sealed, no sequence number is missing, a chain begins with 1 or
    with what an entry about pruning names, and each entry is sealed or waits for its seal.
    """
    check = _Check(report)
    async with aclosing(store.stream("audit_check", {}, _ROWS_EACH)) as slices:
        async for rows in slices:
            for kind, *columns in rows:
                check.take[kind](*columns)
    return check.end(clock())


async def check_audit_times(store: Store, report: Report) -> Mapping[str, int]:
    """Check that no sealed entry was added long after or before the time that it holds."""
    rows = await store.fetch("audit_time_check", {"late_ms": LATE_MS_MAX})
    for customer_id, seq, late_ms in rows:
        report(
            f"{_chain(customer_id)}, entry {seq}: was added {abs(late_ms) // 1000} s "
            f"{'after' if late_ms > 0 else 'before'} the time that it holds"
        )
    return {}


async def check_heads(heads: Iterable[Head], store: Store, report: Report) -> Mapping[str, int]:
    """Check that exported heads are in their chains; those that were pruned since cannot be."""
    checked = 0
    for head in heads:
        customer_id = head.customer_id or NO_CUSTOMER
        params = {"customer_id": customer_id, "seq": head.seq}
        first, last, digest = (await store.fetch("audit_seal_find", params))[0]
        if digest is None and first is not None and head.seq < first:
            continue
        checked += 1
        if digest is None:
            report(
                f"{_chain(customer_id)}: ends with entry {last or 0}, and its exported head is "
                f"entry {head.seq}"
            )
        elif digest.hex() != head.digest:
            report(f"{_chain(customer_id)}, entry {head.seq}: is not the exported head")
    return {"auditHeads": checked}


def read_heads(file: Path) -> list[Head]:
    """Read a file of heads, one JSON object per line.

    Raises:
        ConfigError: It cannot be read, or a line is not a head; the text names the line.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the heads ({error.strerror})") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=Head))
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{file}: line {number}: {error}; allowed is the output of openpns audit head"
            ) from None
    return found


class _Check:
    """Takes the rows of audit_check in any order. Memory grows with chains and with faults."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counts: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._unproven: defaultdict[str, list[tuple[int, bytes, Sequence[Any]]]] = defaultdict(list)
        """Sealed entries without the digest before."""
        self._marks: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        """Digests of the last pruned entries, by seq."""
        self._sealed_ms = 0
        """When the newest sealed entry was added."""
        self._waiting_ms: dict[str, int] = {}
        """When the oldest entry that waits for its seal was added."""
        self._has_backlog = False
        self.take: dict[str, Callable[..., None]] = {
            "seal": self._take_seal,
            "unsealed": self._take_unsealed,
            "queued": self._take_queued,
            "backlog": self._take_backlog,
            "pruning": self._take_pruning,
        }

    def end(self, now_ms: int) -> Mapping[str, int]:
        """Check what needs all rows; return what was counted."""
        for customer_id, rows in self._unproven.items():
            for seq, digest, content in rows:
                self._check_begin(customer_id, seq, digest, content)
        due_ms = min(self._sealed_ms, now_ms) - WAIT_MS_MAX
        for customer_id, added_ms in self._waiting_ms.items():
            if added_ms < due_ms and not self._has_backlog:
                self._report(
                    f"{_chain(customer_id)}: an entry that was added at {added_ms} is not sealed, "
                    "but later ones are"
                )
        return {
            "auditEntries": self._counts["seal"] + self._counts["unsealed"],
            "auditUnsealed": self._counts["unsealed"],
        }

    def _check_begin(
        self, customer_id: str, seq: int, digest: bytes, content: Sequence[Any]
    ) -> None:
        """Check an entry without one before it: the first one after pruned ones."""
        chain = _chain(customer_id)
        if seq != self._first[customer_id]:
            self._report(f"{chain}, entry {seq - 1}: is missing")
            return
        pruned = self._marks[customer_id].get(seq - 1)
        if pruned is None:
            self._report(f"{chain}: entries 1 to {seq - 1} are missing, and were not pruned")
        elif digest_of(pruned, seq, content) != digest:
            self._report(f"{chain}, entry {seq}: is not the one that was sealed")

    def _take_seal(
        self,
        customer_id: str,
        at_ms: int,
        entry_id: int,
        added_ms: int | None,
        seq: int,
        digest: bytes,
        previous: bytes | None,
        *entry: str | None,
    ) -> None:
        self._first[customer_id] = min(seq, self._first.get(customer_id, seq))
        self._sealed_ms = max(self._sealed_ms, added_ms or 0)
        action, *_, details = entry
        if action is None:
            self._report(f"{_chain(customer_id)}, entry {seq}: was deleted")
            return
        self._counts["seal"] += 1
        content = (customer_id, at_ms, entry_id, *entry, added_ms)
        if previous is None and seq != 1:
            self._unproven[customer_id].append((seq, digest, content))
        elif digest_of(previous or b"", seq, content) != digest:
            self._report(f"{_chain(customer_id)}, entry {seq}: is not the one that was sealed")
            return
        # Customers from before the chain may begin with any entry.
        if seq == 1 and added_ms is not None and customer_id and action != CUSTOMER_CREATED:
            self._report(
                f"{_chain(customer_id)}: begins with {action}; earlier entries are missing"
            )
        if action == PRUNE:
            # Older versions wrote neither of the two.
            with contextlib.suppress(ValueError):
                mark = msgspec.json.decode(details or "", type=_Mark)
                self._marks[customer_id][mark.seq] = bytes.fromhex(mark.digest)

    def _take_unsealed(
        self,
        customer_id: str,
        at_ms: int,
        _: int,
        added_ms: int | None,
        backlog: int | None,
        *__: None,
    ) -> None:
        self._counts["unsealed"] += 1
        if added_ms is not None:
            oldest_ms = self._waiting_ms.get(customer_id, added_ms)
            self._waiting_ms[customer_id] = min(added_ms, oldest_ms)
        elif backlog is None:
            self._report(
                f"{_chain(customer_id)}: an entry with the time {at_ms} is not sealed and does "
                "not wait for it"
            )

    def _take_queued(self, customer_id: str, at_ms: int, *_: Any) -> None:
        self._report(
            f"{_chain(customer_id)}: an entry with the time {at_ms} was deleted before it was "
            "sealed, or waits for a seal that it has"
        )

    def _take_backlog(self, *_: Any) -> None:
        self._has_backlog = True

    def _take_pruning(self, *_: Any) -> None:
        self._report("table audit_pruning: has a row, which allows entries to be deleted")


def _chain(customer_id: str) -> str:
    """Return how a report names a chain."""
    return f"audit trail of {f'customer {customer_id}' if customer_id else 'no customer'}"
