"""Deleting expired rows."""

from typing import Any, Final

from openpns.core.context import Services
from openpns.storage.store import Statement, Transaction

_ROWS_EACH: Final = 1000


async def delete_expired(services: Services, statement: str, params: dict[str, Any]) -> None:
    """Run a statement that deletes at most `:at_most` rows until it deletes fewer."""

    def steps() -> Transaction[int]:
        return len((yield Statement(statement, params | {"at_most": _ROWS_EACH})))

    while await services.store.write(steps) == _ROWS_EACH:
        pass
