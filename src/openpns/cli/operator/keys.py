"""`openpns keys`."""

import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import click

from openpns.accounts import access_keys, customers, master_key
from openpns.accounts.access_keys import AccessKey, NewSecret
from openpns.accounts.secret_box import SecretBox
from openpns.cli.options import (
    database_option,
    format_time,
    json_option,
    master_key_variable,
    with_store,
)
from openpns.cli.output import print_json, print_table
from openpns.clock import now_ms
from openpns.storage.store import Store

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType[int]):
    """A time span such as 90s, 30m, 24h or 7d; its value is in ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the span in ms."""
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r}: allowed is a number with s, m, h or d, such as 24h", param, ctx)
        return int(match[1]) * _UNITS_MS[match[2]]


class Moment(click.ParamType[int]):
    """A date or a date and time, UTC without a zone; its value is in ms since 1970."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment in ms since 1970 UTC."""
        try:
            moment = datetime.fromisoformat(str(value))
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r}: allowed is a date such as 2027-01-31 or 2027-01-31T18:00+08:00",
                param,
                ctx,
            )
        return int(moment.timestamp() * 1000)


@click.group()
def keys() -> None:
    """Create, list, change, disable, enable and rotate access keys."""


@keys.command()
@click.option("--customer", "customer_id", required=True, help="The customer's id.")
@click.option("--access-key", help="Generated if not given.")
@click.option("--access-secret", help="Generated if not given; - reads it from stdin.")
@click.option("--label", default="", help="A note.")
@click.option(
    "--expires", "expires_ms", type=Moment(), help="When the key expires, e.g. 2027-01-31."
)
@click.option("--sha256-only", is_flag=True, help="Refuse md5 signatures.")
@click.option("--unique-ts", is_flag=True, help="No two different requests share a ts.")
@click.option("--rate-per-s", type=int, help="Requests per second; 0 for unlimited.")
@click.option("--rate-burst", type=int, help="Requests that may arrive at once.")
@click.option("--read-only", is_flag=True, help="Refuse every write.")
@database_option
@json_option
def create(
    customer_id: str, access_secret: str | None, database: str, *, as_json: bool, **options: Any
) -> None:
    """Create an access key; its secret is shown only once."""
    if access_secret == "-":  # noqa: S105
        line = sys.stdin.buffer.readline()
        access_secret = line.decode("utf-8", "replace").rstrip("\r\n")
    made = _with_secret_box(
        database,
        lambda store, secret_box: access_keys.create(
            store, secret_box, now_ms, customer_id, access_secret=access_secret, **options
        ),
    )
    _print_secret(made, as_json=as_json)


@keys.command("list")
@click.option("--customer", "customer_id", help="Only this customer's keys.")
@database_option
@json_option
def list_(customer_id: str | None, database: str, *, as_json: bool) -> None:
    """List access keys, oldest first, without their secrets."""

    async def work(store: Store) -> list[AccessKey]:
        if customer_id is not None:
            await customers.get(store, customer_id)
        return await access_keys.list_keys(store, customer_id)

    _print(with_store(database, work), as_json=as_json)


def _add_switch(
    name: str,
    change: Callable[[Store, str, int | None], Awaitable[AccessKey]],
    help_text: str,
    *,
    on: bool,
) -> None:
    """Add a command that sets, or unsets, the time since when something holds for a key."""

    @keys.command(name, help=help_text)
    @click.argument("access_key")
    @database_option
    @json_option
    def switch(access_key: str, database: str, *, as_json: bool) -> None:
        since_ms = now_ms() if on else None
        changed = with_store(database, lambda store: change(store, access_key, since_ms))
        _print(changed, as_json=as_json)


_add_switch(
    "disable",
    access_keys.disable,
    "Disable an access key: its requests are answered 1005 from now on.",
    on=True,
)
_add_switch("enable", access_keys.disable, "Enable an access key again.", on=False)
_add_switch(
    "require-sha256",
    access_keys.require_sha256,
    "Refuse md5 signatures of an access key: they are answered 1003 from now on.",
    on=True,
)
_add_switch(
    "allow-md5",
    access_keys.require_sha256,
    "Accept md5 signatures of an access key again.",
    on=False,
)
_add_switch(
    "require-unique-ts",
    access_keys.require_unique_ts,
    "Answer identical writes of an access key once: no two different requests share a ts.\n\n"
    "Do not set it for a client that can send two requests in one millisecond, or takes ts in "
    "whole seconds: the second request would be lost.",
    on=True,
)
_add_switch(
    "allow-repeated-ts",
    access_keys.require_unique_ts,
    "Carry out every request of an access key, also identical ones.",
    on=False,
)


@keys.command("set-rate")
@click.argument("access_key")
@click.option("--per-s", type=int, help="Requests per second; 0 for unlimited.")
@click.option(
    "--burst", type=int, help="Requests that may arrive at once; those of one second if not given."
)
@click.option("--default", "is_default", is_flag=True, help="Use the server's settings again.")
@database_option
@json_option
def set_rate(
    access_key: str,
    per_s: int | None,
    burst: int | None,
    database: str,
    *,
    is_default: bool,
    as_json: bool,
) -> None:
    """Change the rate limit of an access key; more requests are answered 19003."""
    if (per_s is None) != is_default:
        raise click.UsageError("give either --per-s or --default")
    changed = with_store(
        database, lambda store: access_keys.set_rate(store, access_key, per_s, burst)
    )
    _print(changed, as_json=as_json)


@keys.command()
@click.argument("access_key")
@click.option("--at", "at_ms", type=Moment(), help="When it expires, e.g. 2027-01-31.")
@click.option("--never", is_flag=True, help="It never expires.")
@database_option
@json_option
def expire(
    access_key: str, at_ms: int | None, database: str, *, never: bool, as_json: bool
) -> None:
    """Change when an access key expires."""
    if (at_ms is None) != never:
        raise click.UsageError("give either --at or --never")
    changed = with_store(
        database, lambda store: access_keys.expire(store, now_ms, access_key, at_ms)
    )
    _print(changed, as_json=as_json)


@keys.command()
@click.argument("access_key")
@click.option(
    "--grace",
    type=Duration(),
    default="24h",
    show_default=True,
    help="How long the old secret stays valid; 0s refuses it at once.",
)
@database_option
@json_option
def rotate(access_key: str, grace: int, database: str, *, as_json: bool) -> None:
    """Give an access key a new secret, which is shown only once."""
    made = _with_secret_box(
        database,
        lambda store, secret_box: access_keys.rotate(store, secret_box, now_ms, access_key, grace),
    )
    _print_secret(made, as_json=as_json)
    until = f"accepted until {format_time(now_ms() + grace)}" if grace else "refused from now on"
    click.echo(f"the old secret is {until}", err=True)


def _with_secret_box(
    database: str, work: Callable[[Store, SecretBox], Awaitable[NewSecret]]
) -> NewSecret:
    async def run(store: Store) -> NewSecret:
        secret_box = await master_key.open_secret_box(store, database, master_key_variable())
        return await work(store, secret_box)

    return with_store(database, run)


def _print_secret(made: NewSecret, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    click.echo(f"access key     {made.access_key}")
    click.echo(f"access secret  {made.access_secret}")
    click.echo(f"customer       {made.customer_id}")
    click.echo("Store the secret now: it is not shown again.", err=True)


def _print(found: AccessKey | list[AccessKey], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        ("access key", "customer", "created", "expires", "state", "digests", "ts", "rate", "label"),
        [_row(key) for key in (found if isinstance(found, list) else [found])],
        empty="no access keys; create one with: openpns keys create",
    )


def _row(key: AccessKey) -> tuple[str, ...]:
    state = "active"
    if key.disabled_ms is not None:
        state = "disabled"
    elif key.expires_ms is not None and key.expires_ms <= now_ms():
        state = "expired"
    elif key.read_only_ms is not None:
        state = "read-only"
    digests = "md5 sha256" if key.sha256_only_since_ms is None else "sha256"
    return (
        key.access_key,
        key.customer_id,
        format_time(key.created_ms),
        format_time(key.expires_ms),
        state,
        digests,
        "any" if key.unique_ts_since_ms is None else "unique",
        _rate(key),
        key.label,
    )


def _rate(key: AccessKey) -> str:
    if key.rate_per_s is None:
        return "default"
    if key.rate_per_s == 0:
        return "unlimited"
    return f"{key.rate_per_s}/s" + (f" burst {key.rate_burst}" if key.rate_burst else "")
