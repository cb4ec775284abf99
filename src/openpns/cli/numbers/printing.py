"""Virtual numbers as a table or JSON."""

from collections.abc import Sequence
from typing import Final

import click

from openpns.cli.audio_options import audio_lines
from openpns.cli.options import format_time
from openpns.cli.output import print_json, print_table
from openpns.numbers.service import StoredNumber

_HEAD: Final = ("number", "customer", "business", "state", "country", "bindings", "changed")


def print_stored(found: StoredNumber | Sequence[StoredNumber], *, as_json: bool) -> None:
    """Print virtual numbers as the operator sees them."""
    if as_json:
        print_json(found)
        return
    rows = [
        (
            number.did,
            number.customer_id,
            number.business_id,
            number.state,
            number.country,
            "-" if number.bindings is None else str(number.bindings),
            format_time(number.changed_ms),
        )
        for number in ([found] if isinstance(found, StoredNumber) else found)
    ]
    print_table(_HEAD, rows, empty="no virtual numbers; add some with: openpns numbers add")
    if isinstance(found, StoredNumber):
        for line in audio_lines(found):
            click.echo(line)
