"""Read every row of a database, to find rows that contradict each other.

Each feature brings a check of its own rows. A check reads one statement, so it sees one snapshot
and can run while servers write.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from openpns.errors import OpenPNSError
from openpns.storage.store import Store

Report: TypeAlias = Callable[[str], None]
"""Called with each fault: whose row, and what is wrong; never a phone."""

Check: TypeAlias = Callable[[Store, Report], Awaitable[Mapping[str, int]]]
"""Read the rows of a feature; return how many of each kind there are."""


async def verify(store: Store, checks: Sequence[Check], report: Report) -> dict[str, int]:
    """Run checks; return what they counted, and the number of faults as `wrong`.

    Raises:
        ReadFailed: The database is too damaged to be read.
        ServiceUnavailable: The database is unavailable.
    """
    counts: dict[str, int] = {}
    wrong = 0

    def count_and_report(text: str) -> None:
        nonlocal wrong
        wrong += 1
        report(text)

    for check in checks:
        try:
            counts |= await check(store, count_and_report)
        except OpenPNSError:
            raise
        except Exception as error:  # noqa: BLE001 - a damaged row may be anything
            count_and_report(f"a row is damaged and cannot be checked ({type(error).__name__})")
    return counts | {"wrong": wrong}
