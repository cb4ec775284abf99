"""What every row of the contract starts from: fixed time and ids, known customers and groups."""

import itertools
import json
from pathlib import Path
from typing import Any, ClassVar

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.core.context import Services
from openpns.errors import InternalError, OutcomeUnknown, ReadFailed, ServiceUnavailable
from openpns.groups import transfer
from openpns.storage.store import Store

_FOLDER = Path(__file__).parents[2] / "contract"
_FILES = [json.loads(file.read_text("utf-8")) for file in sorted(_FOLDER.glob("*.json"))]
_FEATURES: list[dict[str, Any]] = [
    content for content in _FILES if isinstance(content, dict) and "rows" in content
]
CONTRACT: dict[str, Any] = json.loads((_FOLDER / "groups.json").read_text("utf-8"))
GIVEN = CONTRACT["given"]
ROWS: list[dict[str, Any]] = [row for feature in _FEATURES for row in feature["rows"]]
SETTINGS: dict[str, int] = GIVEN["settings"]

_LONG_AGO_MS = 1


def clock() -> int:
    now: int = GIVEN["nowMs"]
    return now


class FixedIds:
    """Every request has the same id; the groups of a row get the given ids in their order.

    Args:
        folder: Has the file that counts the ids of a row. Another process may reset it.
    """

    def __init__(self, folder: Path) -> None:
        self._count = folder / "group-ids"

    def request_id(self) -> str:
        return str(GIVEN["requestId"])

    def group_id(self) -> str:
        used = self._count.stat().st_size if self._count.exists() else 0
        with self._count.open("a") as count:
            count.write(".")
        return str(GIVEN["newGroupIds"][used])

    def reset(self) -> None:
        """Begin another row."""
        self._count.unlink(missing_ok=True)


class FaultyStore:
    """A store that fails as the row says: a file holds the name of the fault, if there is one."""

    faults: ClassVar = {
        "storage_away": ServiceUnavailable(
            "the storage is away, full or busy; nothing was written"
        ),
        "storage_damaged": ReadFailed("the storage is damaged"),
        "bug": InternalError(),
        "commit_lost": OutcomeUnknown("the storage was lost during the commit"),
    }

    def __init__(self, store: Store, file: Path) -> None:
        self._store = store
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, name: str, params: Any) -> Any:
        self._fail()
        return await self._store.fetch(name, params)

    async def write(self, steps: Any, **options: Any) -> Any:
        self._fail()
        return await self._store.write(steps, **options)

    def _fail(self) -> None:
        if self._file.exists():
            raise self.faults[self._file.read_text()]


async def fill(store: Store, url: str, ids: FixedIds, master_key: str | None = None) -> None:
    """Insert what every row starts from."""
    secret_box = await open_secret_box(store, url, master_key)
    for customer in GIVEN["customers"]:
        customer_id = customer["customerId"]
        await customers.create(store, clock, customer_id, "")
        for key in customer["accessKeys"]:
            await access_keys.create(
                store,
                secret_box,
                lambda: _LONG_AGO_MS,
                customer_id,
                access_key=key["accessKey"],
                access_secret=key["accessSecret"],
                expires_ms=key.get("expiresMs"),
                read_only=key.get("readOnly", False),
                unique_ts=key.get("uniqueTs", False),
                hmac_only=key.get("hmacOnly", False),
                allowed_addresses=key.get("allowedAddresses"),
                allowed_actions=key.get("allowedActions"),
            )
            if key.get("disabled"):
                await access_keys.disable(store, key["accessKey"], clock())
        rows = zip(itertools.count(2), customer["groups"], strict=False)
        done = await transfer.import_rows(
            Services(store, ids, lambda: int(GIVEN["groupsCreatedMs"])),
            customer_id,
            rows,
            on_bad=_refuse,
            on_batch=lambda: None,
            dry_run=False,
        )
        assert done.groups == len(customer["groups"])
        if customer.get("disabled"):
            await customers.disable(store, customer_id, clock())


def _refuse(row: transfer.BadRow) -> None:
    raise AssertionError(row)
