"""`openpns call-records get`."""

from typing import TYPE_CHECKING

import click
import msgspec

from openpns.call_records.wire import CallRecord
from openpns.cli.call_records.printing import attributes_of
from openpns.cli.call_records.source import Place, place_of, place_options, with_customer
from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json, print_row
from openpns.client.requests import Request
from openpns.kit.plain_text import plain

if TYPE_CHECKING:
    from openpns.core.context import Context


@click.command()
@click.argument("call_id")
@json_option
@server_options
@place_options
@click.pass_context
def get(
    context: click.Context,
    /,
    call_id: str,
    server: ServerOptions,
    customer_id: str | None,
    database: str | None,
    *,
    as_json: bool,
) -> None:
    """Show the record of the call with CALL_ID."""
    record = _read(place_of(context, server, customer_id, database), call_id)
    if as_json:
        print_json(record)
        return
    attributes = attributes_of(record)
    cells_max = max(len(name) for name, _ in attributes)
    for name, value in attributes:
        print_row((name, plain(value)), (cells_max, 0))


def _read(place: Place, call_id: str) -> CallRecord:
    if not place.database:
        with place.server.open() as client:
            return client.send(
                Request(
                    "getCallRecord",
                    {"callId": call_id},
                    lambda envelope: msgspec.convert(envelope.get("data"), CallRecord),
                    is_read=True,
                    is_extension=True,
                )
            )

    async def work(context: "Context") -> CallRecord:
        from openpns.call_records.listing import get_call_record

        return await get_call_record(context, call_id=call_id)

    found: CallRecord = with_customer(place, work)
    return found
