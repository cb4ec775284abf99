"""`openpns call-records`: records of calls, through the API or on the database."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    "call-records",
    cls=LazyGroup,
    package="openpns.cli.call_records",
    lazy={
        "export": ("export", "Write call records to a file, as CSV or JSON lines."),
        "get": ("show:get", "Show the record of one call."),
        "list": ("list:list_", "List call records, newest first."),
        "prune": ("operate:prune", "Delete old call records, on the database."),
        "report": ("report:report", "Store the record of a call that ended, through the API."),
    },
)
def call_records() -> None:
    """List, show, export, report and delete records of calls."""
