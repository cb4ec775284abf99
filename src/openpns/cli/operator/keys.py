"""`openpns keys`."""

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

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

ResultT = TypeVar("ResultT")

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
@click.option("--expires", type=Moment(), help="When the key expires, e.g. 2027-01-31.")
@click.option("--sha256-only", is_flag=True, help="Refuse md5 signatures.")
@click.option("--unique-ts", is_flag=True, help="No two different requests share a ts.")
@click.option("--rate-per-s", type=int, help="Requests per second; 0 for unlimited.")
@click.option("--rate-burst", type=int, help="Requests that may arrive at once.")
@click.option("--read-only", is_flag=True, help="Refuse every write.")
@database_option
@json_option
def create(
    customer_id: str,
    access_key: str | None,
    access_secret: str | None,
    label: str,
    expires: int | None,
    rate_per_s: int | None,
    rate_burst: int | None,
    database: str,
    *,
    sha256_only: bool,
    unique_ts: bool,
    read_only: bool,
    as_json: bool,
) -> None:
    """Create an access key; its secret is shown only once."""
    if access_secret == "-":  # noqa: S105
        line = sys.stdin.buffer.readline()
        access_secret = line.decode("utf-8", "replace").rstrip("\r\n")

    async def work(store: Store, secret_box: SecretBox) -> NewSecret:
        return await access_keys.create(
            store,
            secret_box,
            now_ms,
            customer_id,
            access_key=access_key,
            access_secret=access_secret,
            label=label,
            expires_ms=expires,
            sha256_only=sha256_only,
            rate_per_s=rate_per_s,
            rate_burst=rate_burst,
            read_only=read_only,
            unique_ts=unique_ts,
        )

    _print_secret(_with_secret_box(database, work), as_json=as_json)


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


@keys.command()
@click.argument("access_key")
@database_option
@json_option
def disable(access_key: str, database: str, *, as_json: bool) -> None:
    """Disable an access key: its requests are answered 1005 from now on."""
    _set_disabled(access_key, database, now_ms(), as_json=as_json)


@keys.command()
@click.argument("access_key")
@database_option
@json_option
def enable(access_key: str, database: str, *, as_json: bool) -> None:
    """Enable an access key again."""
    _set_disabled(access_key, database, None, as_json=as_json)


@keys.command("require-sha256")
@click.argument("access_key")
@database_option
@json_option
def require_sha256(access_key: str, database: str, *, as_json: bool) -> None:
    """Refuse md5 signatures of an access key: they are answered 1003 from now on."""
    _set_sha256_only(access_key, database, now_ms(), as_json=as_json)


@keys.command("allow-md5")
@click.argument("access_key")
@database_option
@json_option
def allow_md5(access_key: str, database: str, *, as_json: bool) -> None:
    """Accept md5 signatures of an access key again."""
    _set_sha256_only(access_key, database, None, as_json=as_json)


@keys.command("require-unique-ts")
@click.argument("access_key")
@database_option
@json_option
def require_unique_ts(access_key: str, database: str, *, as_json: bool) -> None:
    """Answer identical writes of an access key once: no two different requests share a ts.

    Do not set it for a client that can send two requests in one millisecond, or takes ts in whole
    seconds: the second request would be lost.
    """
    _set_unique_ts(access_key, database, now_ms(), as_json=as_json)


@keys.command("allow-repeated-ts")
@click.argument("access_key")
@database_option
@json_option
def allow_repeated_ts(access_key: str, database: str, *, as_json: bool) -> None:
    """Carry out every request of an access key, also identical ones."""
    _set_unique_ts(access_key, database, None, as_json=as_json)


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
    _print([changed], as_json=as_json, single=True)


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
    _print([changed], as_json=as_json, single=True)


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

    async def work(store: Store, secret_box: SecretBox) -> NewSecret:
        return await access_keys.rotate(store, secret_box, now_ms, access_key, grace)

    _print_secret(_with_secret_box(database, work), as_json=as_json)
    until = f"accepted until {format_time(now_ms() + grace)}" if grace else "refused from now on"
    click.echo(f"the old secret is {until}", err=True)


def _with_secret_box(
    database: str, work: Callable[[Store, SecretBox], Awaitable[ResultT]]
) -> ResultT:
    async def run(store: Store) -> ResultT:
        return await work(
            store, await master_key.open_secret_box(store, database, master_key_variable())
        )

    return with_store(database, run)


def _print_secret(made: NewSecret, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    click.echo(f"access key     {made.access_key}")
    click.echo(f"access secret  {made.access_secret}")
    click.echo(f"customer       {made.customer_id}")
    click.echo("Store the secret now: it is not shown again.", err=True)


def _set_disabled(
    access_key: str, database: str, disabled_ms: int | None, *, as_json: bool
) -> None:
    changed = with_store(
        database, lambda store: access_keys.disable(store, access_key, disabled_ms)
    )
    _print([changed], as_json=as_json, single=True)


def _set_sha256_only(
    access_key: str, database: str, since_ms: int | None, *, as_json: bool
) -> None:
    changed = with_store(
        database, lambda store: access_keys.require_sha256(store, access_key, since_ms)
    )
    _print([changed], as_json=as_json, single=True)


def _set_unique_ts(access_key: str, database: str, since_ms: int | None, *, as_json: bool) -> None:
    changed = with_store(
        database, lambda store: access_keys.require_unique_ts(store, access_key, since_ms)
    )
    _print([changed], as_json=as_json, single=True)


def _print(found: Sequence[AccessKey], *, as_json: bool, single: bool = False) -> None:
    if as_json:
        print_json(found[0] if single else found)
        return
    print_table(
        ("access key", "customer", "created", "expires", "state", "digests", "ts", "rate", "label"),
        [_row(key) for key in found],
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
