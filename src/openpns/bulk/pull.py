"""Copy the number groups and live bindings of a customer from another server that speaks the API.

A second run brings only what changed. A binding that a run has brought and that the server does not
list any more, has ended there, and is ended here: first of all, because what is new may take its
seats and its customerBindId.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import msgspec

from openpns import limits
from openpns.bindings import transfer as bindings
from openpns.bindings.group_guard import BoundGroupGuard
from openpns.bindings.transfer import BindingRow
from openpns.bindings.wire import AXB, AXG, EXTENSION
from openpns.client.binding_types import Binding
from openpns.client.group_types import Group
from openpns.client.http import AsyncClient
from openpns.core.context import Services
from openpns.errors import (
    AnswerUnreadable,
    BindingNotFound,
    ConfigError,
    ParameterError,
    WireError,
)
from openpns.groups import transfer as groups
from openpns.groups.rows import GroupRow
from openpns.numbers.service import list_stored, parse_did

_GROUPS_EACH: Final = 500


class KnownKind(msgspec.Struct, frozen=True):
    """What the API does not show of a binding: its kind, and its group if it has one."""

    kind: str
    group_id: str = ""


class Pulled(msgspec.Struct):
    """What a run did, or in a dry run would do."""

    groups_new: int = 0
    groups_changed: int = 0
    groups_same: int = 0
    bindings_new: int = 0
    bindings_changed: int = 0
    bindings_same: int = 0
    bindings_ended: int = 0
    left_out: int = 0
    missing_numbers: list[str] = []
    """Virtual numbers that the customer does not have here."""


class Pull:
    """One run.

    Args:
        known: Kinds by bindId, from the operator.
        assume_axb: A binding with two phones and without digits binds two phones, if nothing says
            what it is.
        allow_empty: A server that lists no binding at all ends all that were brought.
        note: Called with a line for each group or binding that is left out; it has no phone.
    """

    def __init__(
        self,
        services: Services,
        client: AsyncClient,
        customer_id: str,
        *,
        known: Mapping[str, KnownKind],
        assume_axb: bool,
        dry_run: bool,
        allow_empty: bool,
        note: Callable[[str], None],
    ) -> None:
        self.done = Pulled()
        self._services = services
        self._client = client
        self._customer_id = customer_id
        self._known = known
        self._assume_axb = assume_axb
        self._dry_run = dry_run
        self._allow_empty = allow_empty
        self._note = note
        self._has_details = True
        """Whether the server may know getBinding, which only openpns does."""
        self._guard = BoundGroupGuard()
        # A server may have several customers: the access key says whose bindings it lists.
        source = f"{client.config.access_key} {client.config.url}"
        self._origin = f"pull:{hashlib.sha256(source.encode()).hexdigest()[:32]}"

    async def run(self) -> Pulled:
        """End what has ended, then bring groups, then bindings.

        Raises:
            ConfigError: The server lists no binding, though earlier runs brought some; nothing is
                changed.
            OpenPNSError: The server or the database failed; what was brought stays.
        """
        await self._end_missing()
        await self._bring_groups(self._client.groups.iterate())
        await self._bring_bindings()
        return self.done

    async def _bring_groups(self, found: AsyncIterator[Group]) -> None:
        new: list[GroupRow] = []
        async for group in found:
            row = GroupRow(0, group.group_id, group.name, group.remark, group.phones)
            stored = await groups.find_row(self._services, self._customer_id, group.group_id)
            if stored is None:
                new.append(row)
            elif stored == row:
                self.done.groups_same += 1
            else:
                await self._change_group(row)
            if len(new) == _GROUPS_EACH:
                await self._create_groups(new)
                new = []
        await self._create_groups(new)

    async def _change_group(self, row: GroupRow) -> None:
        try:
            if not self._dry_run:
                await groups.change_group(self._services, self._customer_id, row, self._guard)
        except WireError as error:
            self._leave_out(f"group {row.group_id}", str(error))
        else:
            self.done.groups_changed += 1

    async def _create_groups(self, rows: list[GroupRow]) -> None:
        def refuse(bad: groups.BadRow) -> None:
            self._leave_out(f"group {rows[bad.line].group_id}", bad.why)

        columns = (
            (
                place,
                {
                    "groupId": row.group_id,
                    "groupName": row.name,
                    "phones": ",".join(row.phones),
                    "remark": row.remark,
                },
            )
            for place, row in enumerate(rows)
        )
        made = await groups.import_rows(
            self._services,
            self._customer_id,
            columns,
            on_bad=refuse,
            on_batch=lambda: None,
            dry_run=self._dry_run,
        )
        self.done.groups_new += made.groups

    async def _bring_bindings(self) -> None:
        stored = await list_stored(self._services.store, self._customer_id)
        owned = {number.did for number in stored if number.state != "resting"}
        missing: dict[str, None] = {}
        async for binding in self._client.bindings.iterate():
            try:
                did = parse_did(binding.did, "did")
            except WireError as error:
                self._leave_out_binding(binding.bind_id, error.detail)
                continue
            if did not in owned:
                missing[did] = None
                self._leave_out_binding(binding.bind_id, "its virtual number is not here")
                continue
            kind = await self._kind_of(binding)
            if kind is None:
                self._leave_out_binding(
                    binding.bind_id,
                    "the server does not show whether it binds two phones or a group; use "
                    "--assume-axb or --map",
                )
            else:
                await self._bring_binding(_as_row(binding, kind))
        self.done.missing_numbers = [*missing]

    async def _bring_binding(self, row: BindingRow) -> None:
        services, customer_id = self._services, self._customer_id
        try:
            row = bindings.check_row(row, services.clock())
            if self._dry_run:
                stored = await bindings.find_row(services, customer_id, row.bind_id)
                done = "new" if stored is None else "same" if stored == row else "changed"
            else:
                done = await bindings.import_binding(services, customer_id, row, self._origin)
        except WireError as error:
            self._leave_out_binding(row.bind_id, str(error))
            return
        if done == "new":
            self.done.bindings_new += 1
        elif done == "changed":
            self.done.bindings_changed += 1
        else:
            self.done.bindings_same += 1

    async def _kind_of(self, binding: Binding) -> KnownKind | None:
        """Return what a binding is; None if nothing says it."""
        if binding.extension is not None:
            return KnownKind(EXTENSION)
        if binding.bind_id in self._known:
            return self._known[binding.bind_id]
        if self._has_details and bindings.BIND_ID.fullmatch(binding.bind_id):
            try:
                details = await self._client.bindings.get(binding.bind_id)
            except (ParameterError, AnswerUnreadable):
                self._has_details = False
            except BindingNotFound:  # it has ended meanwhile
                return None
            else:
                return KnownKind(details.kind, details.group_id or "")
        return KnownKind(AXB) if self._assume_axb and binding.phone_b is not None else None

    async def _end_missing(self) -> None:
        """End the bindings that an earlier run brought and that the server does not list."""
        services, customer_id = self._services, self._customer_id
        brought = await bindings.list_of_origin(services, customer_id, self._origin)
        if not brought:
            return
        gone = dict.fromkeys(brought)
        is_empty = True
        async for binding in self._client.bindings.iterate():
            is_empty = False
            gone.pop(binding.bind_id, None)
        if is_empty and not self._allow_empty:
            raise ConfigError(
                f"the other server lists no binding, but {len(brought)} that were brought from it "
                "live here; --allow-empty ends them"
            )
        if gone:
            # A server that is paged by offset may have skipped some while others ended.
            async for binding in self._client.bindings.iterate():
                gone.pop(binding.bind_id, None)
        for bind_id in gone:
            if not self._dry_run:
                await bindings.end_imported(services, customer_id, bind_id)
            self.done.bindings_ended += 1

    def _leave_out_binding(self, bind_id: str, why: str) -> None:
        self._leave_out(f"binding {bind_id[: limits.BIND_ID_CHARS_MAX]}", why)

    def _leave_out(self, what: str, why: str) -> None:
        self.done.left_out += 1
        self._note(f"{what}: left out: {why}")


def _as_row(binding: Binding, kind: KnownKind) -> BindingRow:
    return BindingRow(
        kind.kind,
        binding.bind_id,
        binding.did,
        binding.phone_a,
        binding.phone_b or "",
        binding.extension or "",
        kind.group_id if kind.kind == AXG else "",
        binding.customer_bind_id or "",
        int(binding.is_recorded),
        0 if binding.expires is None else int(binding.expires.timestamp()),
    )
