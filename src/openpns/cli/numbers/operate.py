"""`openpns numbers add|show|drain|disable|enable|remove|set-audio`, on the database."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from openpns import limits
from openpns.bindings import operations
from openpns.cli.audio_options import audio_options, read_audios
from openpns.cli.lazy import FILE_NAME
from openpns.cli.numbers.printing import print_stored
from openpns.cli.options import database_option, json_option, with_store
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.errors import ConfigError
from openpns.kit.text_file import decode_text
from openpns.numbers import audios, service
from openpns.numbers.service import StoredNumber
from openpns.numbers.wire import ACTIVE, DISABLED, DRAINING

_TIMEOUT_MS: Final = 600_000
_HEADER: Final = "did"


@click.command()
@click.argument("dids", nargs=-1, metavar="[DID]...")
@click.option(
    "--file",
    type=FILE_NAME,
    metavar="FILE",
    help="Also read virtual numbers from a file: one on each line, or the first column of a CSV "
    "file with the header did; - for stdin.",
)
@click.option("--customer", "customer_id", required=True, help="Whose they become.")
@click.option(
    "--business", default=service.DEFAULT_BUSINESS, show_default=True, help="The business id."
)
@click.option(
    "--rest-days",
    type=click.IntRange(0, 3650),
    default=limits.NUMBER_REST_DAYS,
    show_default=True,
    help="How long a number that another customer had must have rested.",
)
@click.option("--ignore-rest", is_flag=True, help="Do not wait for that.")
@database_option
@json_option
def add(
    dids: tuple[str, ...],
    file: str | None,
    customer_id: str,
    business: str,
    rest_days: int,
    database: str,
    *,
    ignore_rest: bool,
    as_json: bool,
) -> None:
    """Give virtual numbers to a customer, all or none."""
    given = [*dids, *(_read_file(file) if file is not None else ())]
    if not given:
        raise click.UsageError("Missing DID: give virtual numbers, --file FILE, or --file - .")
    added = with_store(
        database,
        lambda store: service.add(
            store,
            now_ms,
            customer_id,
            given,
            business_id=business,
            rest_days=rest_days,
            ignore_rest=ignore_rest,
        ),
        timeout_ms=_TIMEOUT_MS,
    )
    with change_result():
        if as_json:
            print_json(added)
        else:
            click.echo(f"{customer_id}: {len(added)} virtual numbers added")


@click.command()
@click.argument("did")
@database_option
@json_option
def show(did: str, database: str, *, as_json: bool) -> None:
    """Show one virtual number, also one that rests."""
    found = with_store(database, lambda store: service.get(store, did))
    print_stored(found, as_json=as_json)


@click.command()
@click.argument("did")
@database_option
@json_option
def drain(did: str, database: str, *, as_json: bool) -> None:
    """Take no new bindings on a virtual number; calls go on."""
    _set_state(did, DRAINING, database, as_json=as_json)


@click.command()
@click.argument("did")
@database_option
@json_option
def disable(did: str, database: str, *, as_json: bool) -> None:
    """Connect no calls on a virtual number, and take no new bindings."""
    _set_state(did, DISABLED, database, as_json=as_json)


@click.command()
@click.argument("did")
@database_option
@json_option
def enable(did: str, database: str, *, as_json: bool) -> None:
    """Take bindings and calls again on a virtual number."""
    _set_state(did, ACTIVE, database, as_json=as_json)


@click.command()
@click.argument("did")
@click.option("--force", is_flag=True, help="End the live bindings that stand on it.")
@database_option
@json_option
def remove(did: str, database: str, *, force: bool, as_json: bool) -> None:
    """Take a virtual number from its customer.

    It rests before another customer can get it, so that no old caller reaches a stranger.
    """
    removed = with_store(
        database,
        lambda store: operations.remove_number(store, now_ms, did, is_forced=force),
        timeout_ms=_TIMEOUT_MS,
    )
    _print_changed(removed, as_json=as_json)


@click.command("set-audio")
@click.argument("did")
@audio_options
@database_option
@json_option
def set_audio(
    did: str,
    call_fail: str | None,
    dtmf_err: str | None,
    dtmf_need: str | None,
    database: str,
    *,
    is_default: bool,
    as_json: bool,
) -> None:
    """Set the WAV files that a switch plays to callers of a virtual number.

    An empty URL is the switch's own tone. An audio that is not given is that of the customer.
    """
    given = read_audios(call_fail, dtmf_err, dtmf_need, is_default=is_default)
    changed = with_store(database, lambda store: audios.set_for_number(store, did, given))
    _print_changed(changed, as_json=as_json)


def _set_state(did: str, state: str, database: str, *, as_json: bool) -> None:
    changed = with_store(database, lambda store: service.set_state(store, now_ms, did, state))
    _print_changed(changed, as_json=as_json)


def _print_changed(changed: StoredNumber, *, as_json: bool) -> None:
    with change_result():
        print_stored(changed, as_json=as_json)


def _read_file(file: str) -> Sequence[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
    lines, problem = decode_text(content)
    if problem:
        raise ConfigError(f"{file}: {problem}")
    first_cells = [line.split(",")[0].strip().strip('"') for line in lines.splitlines()]
    found = [cell for cell in first_cells if cell]
    return found[1:] if found and found[0] == _HEADER else found
