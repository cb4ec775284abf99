"""What every row of the contract starts from: fixed time and ids, known customers."""

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.accounts.secret_box import SecretBox
from openpns.clock import Clock
from openpns.core import outbox
from openpns.core.context import Services
from openpns.core.outbox import Event
from openpns.deliveries import endpoints
from openpns.deliveries.wire import ACTIVE as ACTIVE_WEBHOOK
from openpns.deliveries.wire import DISABLED
from openpns.errors import InternalError, OutcomeUnknown, ReadFailed, ServiceUnavailable
from openpns.groups import transfer
from openpns.numbers import audios
from openpns.numbers import service as numbers
from openpns.numbers.audios import Audios
from openpns.numbers.wire import ACTIVE
from openpns.storage.store import Store, Transaction

Row = dict[str, Any]

_FOLDER: Final = Path(__file__).parents[2] / "contract"
_LONG_AGO_MS: Final = 1


class Contract:
    """Rows that start from the same state.

    Args:
        names: The files of the folder `contract`; the first one has the state.
    """

    def __init__(self, *names: str) -> None:
        files = [json.loads((_FOLDER / f"{name}.json").read_text("utf-8")) for name in names]
        self.name = names[0]
        self.given: dict[str, Any] = files[0]["given"]
        self.rows: list[Row] = [row for file in files for row in file["rows"]]
        self.settings: dict[str, int] = self.given["settings"]

    def now_ms(self, request: Row) -> int:
        """Return the time of a request."""
        now: int = request.get("nowMs", self.given["nowMs"])
        return now


CONTRACTS: Final = {
    contract.name: contract
    for contract in (
        Contract("groups", "keys"),
        Contract("bindings", "call_records"),
        Contract("deliveries"),
    )
}


class FixedClock:
    """The time of a row's request; a file has it, so that another process may set it."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        self._file = folder / "now"
        self._contract = contract

    def __call__(self) -> int:
        text = self._file.read_text() if self._file.exists() else ""
        return int(text or self._contract.given["nowMs"])

    def set(self, now_ms: int) -> None:
        """Set the time, in one step for other processes."""
        new = self._file.with_suffix(".new")
        new.write_text(str(now_ms))
        new.replace(self._file)


class FixedIds:
    """Every request has the same id; groups and bindings of a row get the given ids in their order.

    Args:
        folder: Has the files that count the ids of a row. Another process may reset them.
    """

    def __init__(self, contract: Contract, folder: Path) -> None:
        self._given = contract.given
        self._folder = folder

    def request_id(self) -> str:
        return str(self._given["requestId"])

    def group_id(self) -> str:
        return self._next("newGroupIds")

    def bind_id(self) -> str:
        return self._next("newBindIds")

    def _next(self, name: str) -> str:
        file = self._folder / name
        used = file.stat().st_size if file.exists() else 0
        with file.open("a") as count:
            count.write(".")
        return str(self._given[name][used])

    def reset(self) -> None:
        """Begin another row."""
        for name in ("newGroupIds", "newBindIds"):
            (self._folder / name).unlink(missing_ok=True)


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


async def fill(
    contract: Contract,
    store: Store,
    url: str,
    ids: FixedIds,
    clock: Clock,
    master_key: str | None = None,
) -> None:
    """Insert what every row starts from."""
    given = contract.given
    secret_box = await open_secret_box(store, url, master_key)
    for customer in given["customers"]:
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
        services = Services(store, ids, lambda: int(given["groupsCreatedMs"]))
        await _fill_groups(services, customer)
        if (given_audios := msgspec.convert(customer, Audios)) != Audios():
            await audios.set_for_customer(store, customer_id, given_audios)
        for number in customer.get("numbers", []):
            business = number.get("businessId", numbers.DEFAULT_BUSINESS)
            await numbers.add(store, clock, customer_id, [number["did"]], business_id=business)
            if (state := number.get("state", ACTIVE)) != ACTIVE:
                await numbers.set_state(store, clock, number["did"], state)
            if (given_audios := msgspec.convert(number, Audios)) != Audios():
                await audios.set_for_number(store, number["did"], given_audios)
        await fill_deliveries(store, secret_box, customer)
        if customer.get("disabled"):
            await customers.disable(store, customer_id, clock())


async def fill_deliveries(store: Store, secret_box: SecretBox, customer: dict[str, Any]) -> None:
    """Insert the webhook of a customer, if it has one, and its deliveries."""
    if "webhook" not in customer:
        return
    webhook, customer_id = customer["webhook"], customer["customerId"]

    def clock() -> int:
        return _LONG_AGO_MS

    await endpoints.set_webhook(
        store, secret_box, clock, customer_id, webhook["url"], webhook["kinds"]
    )
    for delivery in customer.get("deliveries", []):
        # What occurs while a webhook is disabled is stored as failed.
        state = {"pending": ACTIVE_WEBHOOK, "failed": DISABLED}[delivery["state"]]
        await endpoints.set_state(store, clock, customer_id, state)
        await store.write(partial(_add_delivery, customer_id, delivery))
    await endpoints.set_state(store, clock, customer_id, webhook["state"])


def _add_delivery(customer_id: str, delivery: dict[str, Any]) -> Transaction[None]:
    event = Event(delivery["id"], delivery["kind"], json.dumps(delivery["body"]).encode())
    yield outbox.add(customer_id, event, delivery["createdMs"])


async def _fill_groups(services: Services, customer: dict[str, Any]) -> None:
    done = await transfer.import_rows(
        services,
        customer["customerId"],
        zip(itertools.count(2), customer["groups"], strict=False),
        on_bad=_refuse,
        on_batch=lambda: None,
        dry_run=False,
    )
    assert done.groups == len(customer["groups"])


def _refuse(row: transfer.BadRow) -> None:
    raise AssertionError(row)
