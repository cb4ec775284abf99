"""`openpns customers`."""

import click

from openpns.accounts import customers as service
from openpns.accounts.customers import Customer
from openpns.call_records.counts import recount as correct_counts
from openpns.cli.audio_options import audio_lines, audio_options, read_audios
from openpns.cli.options import database_option, format_time, json_option, with_store
from openpns.cli.output import print_json, print_table
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.numbers import audios

_RECOUNT_TIMEOUT_MS = 600_000


@click.group()
def customers() -> None:
    """Create, list, disable and enable customers, and set their quotas and audios."""


@customers.command()
@click.argument("customer_id")
@click.option("--name", default="", help="A display name.")
@database_option
@json_option
def create(customer_id: str, name: str, database: str, *, as_json: bool) -> None:
    """Create a customer; its id cannot be changed."""
    made = with_store(database, lambda store: service.create(store, now_ms, customer_id, name))
    _print_changed(made, as_json=as_json)


@customers.command("list")
@database_option
@json_option
def list_(database: str, *, as_json: bool) -> None:
    """List all customers, oldest first."""
    _print(with_store(database, service.list_customers), as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def show(customer_id: str, database: str, *, as_json: bool) -> None:
    """Show one customer."""
    found = with_store(database, lambda store: service.get(store, customer_id))
    _print(found, as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def disable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Disable a customer: all its requests are answered 1005 from now on."""
    _set_disabled(customer_id, database, now_ms(), as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def enable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Enable a customer again."""
    _set_disabled(customer_id, database, None, as_json=as_json)


@customers.command("set-audio")
@click.argument("customer_id")
@audio_options
@database_option
@json_option
def set_audio(
    customer_id: str,
    call_fail: str | None,
    dtmf_err: str | None,
    dtmf_need: str | None,
    database: str,
    *,
    is_default: bool,
    as_json: bool,
) -> None:
    """Set the WAV files that a switch plays to callers of a customer's virtual numbers.

    An audio that is empty or not given is the switch's own tone. A virtual number may have others.
    """
    given = read_audios(call_fail, dtmf_err, dtmf_need, is_default=is_default)
    changed = with_store(database, lambda store: audios.set_for_customer(store, customer_id, given))
    _print_changed(changed, as_json=as_json)


@customers.command("set-quota")
@click.argument("customer_id")
@click.option("--groups", type=int, help="Groups; 0 for any number.")
@click.option("--phones", type=int, help="Phones in all groups; 0 for any number.")
@click.option(
    "--bytes", "num_bytes", type=int, help="Bytes of names, remarks and phones; 0 for any number."
)
@click.option("--bindings", type=int, help="Live bindings; 0 for any number.")
@click.option("--call-records", type=int, help="Stored call records; 0 for any number.")
@click.option("--deliveries", type=int, help="Stored deliveries; 0 for any number.")
@click.option("--default", "is_default", is_flag=True, help="Use the server's settings again.")
@database_option
@json_option
def set_quota(
    customer_id: str,
    groups: int | None,
    phones: int | None,
    num_bytes: int | None,
    bindings: int | None,
    call_records: int | None,
    deliveries: int | None,
    database: str,
    *,
    is_default: bool,
    as_json: bool,
) -> None:
    """Change what a customer may store; more is answered 19012.

    A quota that is not given is that of the server's settings.
    """
    given = (groups, phones, num_bytes, bindings, call_records, deliveries)
    if all(quota is None for quota in given) != is_default:
        raise click.UsageError(
            "give either --default or some of --groups, --phones, --bytes, --bindings, "
            "--call-records and --deliveries"
        )
    changed = with_store(
        database,
        lambda store: service.set_quotas(
            store,
            customer_id,
            groups=groups,
            phones=phones,
            num_bytes=num_bytes,
            bindings=bindings,
            call_records=call_records,
            deliveries=deliveries,
        ),
    )
    _print_changed(changed, as_json=as_json)


@customers.command()
@click.argument("customer_id")
@database_option
@json_option
def recount(customer_id: str, database: str, *, as_json: bool) -> None:
    """Correct the counts of a customer's stored call records and deliveries.

    Servers may run meanwhile. It is needed only if openpns verify says so.
    """
    added = with_store(
        database,
        lambda store: correct_counts(store, customer_id),
        timeout_ms=_RECOUNT_TIMEOUT_MS,
        label="counting",
    )
    with change_result():
        if as_json:
            print_json(added)
        else:
            changes = ", ".join(f"{name} {count:+}" for name, count in added.items() if count)
            click.echo(f"corrected: {changes}" if changes else "the counts were right")


def _set_disabled(
    customer_id: str, database: str, disabled_ms: int | None, *, as_json: bool
) -> None:
    changed = with_store(database, lambda store: service.disable(store, customer_id, disabled_ms))
    _print_changed(changed, as_json=as_json)


def _print_changed(changed: Customer, *, as_json: bool) -> None:
    with change_result():
        _print(changed, as_json=as_json)


def _print(found: Customer | list[Customer], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (
            customer.customer_id,
            str(customer.group_count),
            format_time(customer.created_ms),
            "disabled" if customer.disabled_ms is not None else "active",
            customer.name,
        )
        for customer in (found if isinstance(found, list) else [found])
    ]
    print_table(
        ("customer", "groups", "created", "state", "name"),
        rows,
        empty="no customers; create one with: openpns customers create",
    )
    if isinstance(found, Customer):
        for line in audio_lines(found):
            click.echo(line)
