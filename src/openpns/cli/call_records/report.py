"""`openpns call-records report`, through the API."""

from datetime import datetime

import click

from openpns import limits
from openpns.cli.moments import Second
from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.client.call_record_types import HungUpBy


@click.command()
@click.argument("call_id")
@click.option(
    "--start",
    type=Second(),
    required=True,
    help="When the call began, e.g. 2027-01-31T18:00:05 (UTC) or 1801418405.",
)
@click.option("--answer", type=Second(), help="When the callee answered; nobody if not given.")
@click.option("--hangup", type=Second(), required=True, help="When the call ended.")
@click.option("--cause", "hangup_cause", help="Why it ended, such as NORMAL_CLEARING.")
@click.option(
    "--code",
    "hangup_code",
    type=click.IntRange(0, limits.HANGUP_CODE_MAX),
    help="The switch's number of the cause; that of a known cause if not given.",
)
@click.option(
    "--hung-up-by",
    type=click.Choice(["caller", "callee"]),
    help="Who ended it, callee also for the platform; what the cause says if not given.",
)
@click.option("--recording", "record_file", metavar="URL", help="Where the recording is.")
@click.option("--caller", help="Who called; needed if the question is not known any more.")
@click.option("--did", help="The virtual number that was called; see --caller.")
@click.option("--binding", "bind_id", metavar="ID", help="The binding; see --caller.")
@json_option
@server_options
def report(
    call_id: str,
    start: datetime,
    answer: datetime | None,
    hangup: datetime,
    hangup_cause: str | None,
    hangup_code: int | None,
    hung_up_by: HungUpBy | None,
    record_file: str | None,
    caller: str | None,
    did: str | None,
    bind_id: str | None,
    *,
    as_json: bool,
    server: ServerOptions,
) -> None:
    """Store the record of a call that ended; print its id.

    CALL_ID is that of the call's last question. The same report again prints the same id and stores
    nothing; another one is refused.
    """
    with server.open() as client:
        record_id = client.call_records.report(
            call_id,
            start=start,
            answer=answer,
            hangup=hangup,
            hangup_cause=hangup_cause,
            hangup_code=hangup_code,
            hung_up_by=hung_up_by,
            record_file=record_file,
            caller=caller,
            did=did,
            bind_id=bind_id,
        )
    with change_result():
        if as_json:
            print_json({"id": record_id})
        else:
            click.echo(record_id)
