"""The service that the emulator runs from one reset to the next: the API on a database in memory.

Everything here runs on the emulator's event loop.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from openpns import limits
from openpns.accounts import access_keys, customers
from openpns.accounts.master_key import open_secret_box
from openpns.accounts.secret_box import SecretBox, new_master_key
from openpns.api.counters import Counters
from openpns.api.pipeline import Api
from openpns.api.registry import ACTIONS
from openpns.api.request_log import RequestLog
from openpns.bindings import transfer as bindings
from openpns.call_records.listing import list_call_records
from openpns.client.call_record_requests import WireRecord, as_record
from openpns.client.call_record_types import CallRecord
from openpns.client.group_types import Group
from openpns.clock import Clock
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.core.rate_limits import RateLimits
from openpns.deliveries.settings import DeliverySettings
from openpns.errors import BindingNotFound, ConfigError, WireError
from openpns.groups import transfer
from openpns.groups.rows import COLUMNS
from openpns.ids import IdSource
from openpns.numbers import audios
from openpns.numbers import service as numbers
from openpns.numbers.audios import Audios
from openpns.numbers.wire import ACTIVE
from openpns.routing.service import query_axb
from openpns.storage import migrations
from openpns.storage.sqlite.store import SQLiteStore
from openpns.testing.state_file import (
    BindingState,
    CustomerState,
    GroupState,
    KeyState,
    NumberState,
    State,
    WebhookState,
)

if TYPE_CHECKING:
    from openpns.testing.webhooks import EmulatedWebhooks

_GROUPS_CREATED_MS: Final = 1
"""When the groups of a state were created: the same in each run."""

LOG: Final[Any] = structlog.wrap_logger(
    logging.getLogger("openpns.emulator"),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
)
"""The standard library's logging, as the test runner has configured it: pytest shows the lines of
failed requests with the test."""


@dataclass(frozen=True, slots=True)
class Key:
    """An access key with its secret and its customer."""

    access_key: str
    access_secret: str = field(repr=False)
    customer_id: str


class EmulatedService:
    """The API on a database in memory; `open` returns one."""

    def __init__(
        self, services: Services, secret_box: SecretBox, deliveries: DeliverySettings
    ) -> None:
        self._services = services
        self._store = services.store
        self._clock = services.clock
        self._secret_box = secret_box
        self.api = Api(
            services,
            secret_box,
            RequestLog(Counters(), LOG),
        )
        self._deliveries = deliveries
        self._webhooks: EmulatedWebhooks | None = None

    @classmethod
    async def open(
        cls,
        clock: Clock,
        ids: IdSource,
        rates: RateLimits,
        bounds: Mapping[str, Any],
        deliveries: DeliverySettings,
    ) -> "EmulatedService":
        """Return the service on a new, empty database; `bounds` are those of `Services`."""
        store = SQLiteStore(None, limits.STORAGE_TIMEOUT_MS)
        await store.migrate(migrations.load_migrations("sqlite"), with_post=True)
        secret_box = await open_secret_box(store, "memory", new_master_key())
        services = Services(store, ids, clock, rates=rates, **bounds)
        return cls(services, secret_box, deliveries)

    @property
    def webhooks(self) -> "EmulatedWebhooks":
        """The webhooks; the first use loads the HTTP client."""
        if self._webhooks is None:
            from openpns.testing.webhooks import EmulatedWebhooks  # noqa: PLC0415

            self._webhooks = EmulatedWebhooks(
                self._services, self._secret_box, self._deliveries, self._must_exist
            )
        return self._webhooks

    async def fill(self, state: State, own: Key, source: str) -> Key:
        """Store a state; return the emulator's own key, which is added if the state lacks it.

        Raises:
            ConfigError: A value is not allowed; the text names `source` and the place.
        """
        # Created before real time, so that lists begin with the state, in its order.
        created_ms = 0
        found = None
        for index, customer in enumerate(state.customers):
            place = f"{source}: $.customers[{index}]"
            created_ms = await self._put_customer(customer, created_ms + 1, place)
            found = found or _find_key(customer, own.access_key)
        if found is not None:
            return found
        if all(customer.customer_id != own.customer_id for customer in state.customers):
            await customers.create(self._store, lambda: created_ms + 1, own.customer_id, "")
        key = KeyState(access_key=own.access_key, access_secret=own.access_secret)
        await self._put_key(key, own.customer_id, created_ms + 1)
        return own

    async def add_customer(self, customer_id: str, **options: Any) -> Key:
        """Add a customer with an access key; see `Emulator.add_customer`."""
        await customers.create(self._store, self._clock, customer_id, "")
        key = await access_keys.create(
            self._store, self._secret_box, self._clock, customer_id, **options
        )
        return Key(key.access_key, key.access_secret, customer_id)

    async def add_group(self, customer_id: str, group: GroupState) -> str:
        """Add a number group; return its id."""
        await self._must_exist(customer_id)
        if not group.group_id:
            group = msgspec.structs.replace(group, group_id=self._services.ids.group_id())
        await self._put_groups(customer_id, [group], self._clock, lambda _: "group")
        return group.group_id

    async def add_numbers(
        self, customer_id: str, dids: Sequence[str], business_id: str, state: str
    ) -> list[str]:
        """Add virtual numbers; return them in digits."""
        await self._must_exist(customer_id)
        return await self._put_numbers(customer_id, dids, business_id, state)

    async def set_audios(self, customer_id: str, did: str | None, given: Audios) -> None:
        """Set the audios of a virtual number; None for those of the customer."""
        if did is None:
            await audios.set_for_customer(self._store, customer_id, given)
        else:
            await audios.set_for_number(self._store, did, given)

    async def call(
        self, customer_id: str, caller: str, did: str, extension: str | None
    ) -> str | None:
        """Return whom a call reaches; None for nobody, "" if digits are needed first."""
        await self._must_exist(customer_id)
        context = Context(self._services, Principal("", customer_id))
        try:
            answer = await query_axb(context, caller=caller, did=did, extension=extension)
        except BindingNotFound:
            return None
        except WireError as error:
            raise ConfigError(error.detail or str(error)) from None
        return answer.callee

    async def groups(self, customer_id: str) -> list[Group]:
        """Return a customer's groups as they are stored, oldest first."""
        await self._must_exist(customer_id)
        return [
            Group(group_id, name, phones.split(",") if phones else [], remark, customer_id)
            for group_id, name, phones, remark in await self._rows(customer_id)
        ]

    async def call_records(self, customer_id: str) -> list[CallRecord]:
        """Return a customer's call records, newest first."""
        await self._must_exist(customer_id)
        context = Context(self._services, Principal("", customer_id))
        found: list[CallRecord] = []
        after: str | None = ""
        while after is not None:
            page = await list_call_records(context, limit=0, after=after)
            wire = msgspec.convert(msgspec.to_builtins(page.records), list[WireRecord])
            found += map(as_record, wire)
            after = page.next
        return found

    async def dump(self) -> State:
        """Return what the database holds, without calls and deliveries."""
        return State(
            customers=[
                CustomerState(
                    customer_id=customer.customer_id,
                    name=customer.name,
                    disabled=customer.disabled_ms is not None,
                    access_keys=await self._dump_keys(customer.customer_id),
                    groups=[
                        msgspec.convert(dict(zip(COLUMNS, row, strict=True)), GroupState)
                        for row in await self._rows(customer.customer_id)
                    ],
                    numbers=await self._dump_numbers(customer.customer_id),
                    bindings=await self._dump_bindings(customer.customer_id),
                    audio_when_call_fail=customer.audio_when_call_fail,
                    audio_when_dtmf_err=customer.audio_when_dtmf_err,
                    audio_when_dtmf_need=customer.audio_when_dtmf_need,
                    webhook=await self._dump_webhook(customer.customer_id),
                )
                for customer in await customers.list_customers(self._store)
            ]
        )

    async def close(self) -> None:
        """End deliveries, and close the database; its content is lost."""
        if self._webhooks is not None:
            await self._webhooks.close()
        await self._store.close()

    async def _rows(self, customer_id: str) -> list[tuple[str, ...]]:
        async with aclosing(transfer.export_rows(self._services, customer_id)) as rows:
            return [row async for row in rows]

    async def _dump_keys(self, customer_id: str) -> list[KeyState]:
        found = []
        for key in await access_keys.list_keys(self._store, customer_id):
            known = await access_keys.find(self._store, key.access_key)
            assert known is not None
            secret = self._secret_box.decrypt(known.secret_ciphertext, key.access_key).decode()
            found.append(
                KeyState(
                    access_key=key.access_key,
                    access_secret=secret,
                    expires_ms=key.expires_ms,
                    disabled=key.disabled_ms is not None,
                    read_only=key.read_only_ms is not None,
                    unique_ts=key.unique_ts_since_ms is not None,
                    hmac_only=key.hmac_only_since_ms is not None,
                    allowed_addresses=_items(key.allowed_addresses),
                    allowed_actions=_items(key.allowed_actions),
                )
            )
        return found

    async def _dump_numbers(self, customer_id: str) -> list[NumberState]:
        rows = await self._store.fetch("number_export", {"customer_id": customer_id})
        names = NumberState.__struct_fields__
        return [NumberState(**dict(zip(names, row, strict=True))) for row in rows]

    async def _dump_webhook(self, customer_id: str) -> WebhookState | None:
        return None if self._webhooks is None else await self._webhooks.dump(customer_id)

    async def _dump_bindings(self, customer_id: str) -> list[BindingState]:
        async with aclosing(bindings.export_rows(self._services, customer_id)) as rows:
            return [msgspec.convert(msgspec.to_builtins(row), BindingState) async for row in rows]

    async def _must_exist(self, customer_id: str) -> None:
        known = [customer.customer_id for customer in await customers.list_customers(self._store)]
        if customer_id not in known:
            raise ConfigError(
                f"customer {customer_id!r}: does not exist; there are: {', '.join(known)}"
            )

    async def _put_customer(self, customer: CustomerState, now_ms: int, place: str) -> int:
        """Store a customer with its keys and groups; return when the last of them was created."""
        try:
            await customers.create(self._store, lambda: now_ms, customer.customer_id, customer.name)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        for index, key in enumerate(customer.access_keys):
            now_ms += 1
            try:
                await self._put_key(key, customer.customer_id, now_ms)
            except ConfigError as error:
                raise ConfigError(f"{place}.accessKeys[{index}]: {error}") from None
        await self._put_groups(
            customer.customer_id,
            customer.groups,
            lambda: _GROUPS_CREATED_MS,
            lambda index: f"{place}.groups[{index}]",
        )
        if (given := _audios(customer)) != Audios():
            try:
                await self.set_audios(customer.customer_id, None, given)
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from None
        await self._put_bindings(customer, place)
        if customer.webhook is not None:
            try:
                await self.webhooks.put(customer.customer_id, customer.webhook)
            except ConfigError as error:
                raise ConfigError(f"{place}.webhook: {error}") from None
        if customer.disabled:
            await customers.disable(self._store, customer.customer_id, now_ms)
        return now_ms

    async def _put_key(self, key: KeyState, customer_id: str, now_ms: int) -> None:
        options = msgspec.structs.asdict(key)
        is_disabled = options.pop("disabled")
        for name in key.allowed_actions or ():
            if name not in ACTIONS:
                raise ConfigError(f"allowedActions: {name!r}: allowed are {', '.join(ACTIONS)}")
        await access_keys.create(
            self._store, self._secret_box, lambda: now_ms, customer_id, **options
        )
        if is_disabled:
            await access_keys.disable(self._store, key.access_key, now_ms)

    async def _put_numbers(
        self, customer_id: str, dids: Sequence[str], business_id: str, state: str
    ) -> list[str]:
        added = await numbers.add(
            self._store, self._clock, customer_id, dids, business_id=business_id, ignore_rest=True
        )
        if state != ACTIVE:
            for did in added:
                await numbers.set_state(self._store, self._clock, did, state)
        return added

    async def _put_bindings(self, customer: CustomerState, place: str) -> None:
        """Store the virtual numbers and bindings of a state.

        Bindings come before the states of their numbers: a draining one takes none.
        """
        customer_id = customer.customer_id
        for index, number in enumerate(customer.numbers):
            try:
                await self._put_numbers(customer_id, [number.did], number.business_id, ACTIVE)
                if (given := _audios(number)) != Audios():
                    await self.set_audios(customer_id, number.did, given)
            except ConfigError as error:
                raise ConfigError(f"{place}.numbers[{index}]: {error}") from None
        for index, binding in enumerate(customer.bindings):
            row = bindings.BindingRow(**msgspec.structs.asdict(binding))
            if not row.bind_id:
                row = msgspec.structs.replace(row, bind_id=self._services.ids.bind_id())
            try:
                row = bindings.check_row(row, self._clock())
                await bindings.import_binding(self._services, customer_id, row)
            except WireError as error:
                raise ConfigError(f"{place}.bindings[{index}]: {error}") from None
        for number in customer.numbers:
            if number.state != ACTIVE:
                await numbers.set_state(self._store, self._clock, number.did, number.state)

    async def _put_groups(
        self,
        customer_id: str,
        groups: Sequence[GroupState],
        clock: Clock,
        place: Callable[[int], str],
    ) -> None:
        def refuse(row: transfer.BadRow) -> None:
            raise ConfigError(f"{place(row.line)}: {row.why}")

        await transfer.import_rows(
            replace(self._services, clock=clock),
            customer_id,
            ((index, msgspec.to_builtins(group)) for index, group in enumerate(groups)),
            on_bad=refuse,
            on_batch=lambda: None,
            dry_run=False,
        )


def _audios(owner: CustomerState | NumberState) -> Audios:
    return Audios(owner.audio_when_call_fail, owner.audio_when_dtmf_err, owner.audio_when_dtmf_need)


def _items(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _find_key(customer: CustomerState, access_key: str) -> Key | None:
    for key in customer.access_keys:
        if key.access_key == access_key:
            return Key(access_key, key.access_secret, customer.customer_id)
    return None
