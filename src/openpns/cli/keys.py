"""`openpns keys`: the operator's, straight at the database."""

import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from openpns.cli.database import (
    database_option,
    master_key_variable,
    when,
    with_store,
)
from openpns.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from openpns.accounts.access_keys import AccessKey, NewSecret
    from openpns.accounts.secret_box import SecretBox
    from openpns.storage.store import Store

ResultT = TypeVar("ResultT")

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType[int]):
    """A time span such as 90s, 30m, 24h or 7d, in ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the span in ms."""
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r}: allowed is a number with s, m, h or d, such as 24h", param, ctx)
        return int(match[1]) * _UNITS_MS[match[2]]


class Moment(click.ParamType[int]):
    """A date, or a date and time, in ms since 1970; UTC where it names no zone."""

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
@click.option("--access-key", help="Generated where not given.")
@click.option("--access-secret", help="Generated where not given; - reads it from stdin.")
@click.option("--label", default="", help="A note for people.")
@click.option("--expires", type=Moment(), help="When the key stops working, e.g. 2027-01-31.")
@click.option("--sha256-only", is_flag=True, help="Refuse md5 signatures.")
@click.option("--rate-per-s", type=int, help="Calls a second that it may make; 0 for any number.")
@click.option("--rate-burst", type=int, help="How many of them may come at once.")
@click.option("--read-only", is_flag=True, help="Refuse every action that changes something.")
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
    read_only: bool,
    as_json: bool,
) -> None:
    """Create an access key; its secret is shown this once only."""
    from openpns.accounts import access_keys
    from openpns.clock import now_ms

    if access_secret == "-":  # noqa: S105
        line = sys.stdin.buffer.readline()
        access_secret = line.decode("utf-8", "replace").rstrip("\r\n")

    async def work(store: "Store", secret_box: "SecretBox") -> "NewSecret":
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
        )

    _print_secret(_with_vault(database, work), as_json=as_json)


@keys.command("list")
@click.option("--customer", "customer_id", help="Only this customer's keys.")
@database_option
@json_option
def list_(customer_id: str | None, database: str, *, as_json: bool) -> None:
    """List access keys, oldest first, without their secrets."""
    from openpns.accounts import access_keys, customers

    async def work(store: "Store") -> list["AccessKey"]:
        if customer_id is not None:
            await customers.get(store, customer_id)
        return await access_keys.list_keys(store, customer_id)

    _print(with_store(database, work), as_json=as_json)


@keys.command()
@click.argument("access_key")
@database_option
@json_option
def disable(access_key: str, database: str, *, as_json: bool) -> None:
    """Disable an access key: its calls are answered 1005 from now on."""
    from openpns.clock import now_ms

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
    """Refuse an access key's md5 signatures: they are answered 1003 from now on."""
    from openpns.clock import now_ms

    _set_md5_refused(access_key, database, now_ms(), as_json=as_json)


@keys.command("allow-md5")
@click.argument("access_key")
@database_option
@json_option
def allow_md5(access_key: str, database: str, *, as_json: bool) -> None:
    """Accept an access key's md5 signatures again."""
    _set_md5_refused(access_key, database, None, as_json=as_json)


@keys.command("set-rate")
@click.argument("access_key")
@click.option("--per-s", type=int, help="Calls a second that it may make; 0 for any number.")
@click.option("--burst", type=int, help="How many of them may come at once; else those of 1 s.")
@click.option("--default", "is_default", is_flag=True, help="Let the server's setting hold.")
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
    """Change how many calls an access key may make; more are answered 19003."""
    from openpns.accounts import access_keys

    if (per_s is None) != is_default:
        raise click.UsageError("give either --per-s or --default")
    changed = with_store(
        database, lambda store: access_keys.set_rate(store, access_key, per_s, burst)
    )
    _print([changed], as_json=as_json, single=True)


@keys.command()
@click.argument("access_key")
@click.option("--at", "at_ms", type=Moment(), help="When it stops working, e.g. 2027-01-31.")
@click.option("--never", is_flag=True, help="Let it work without an end.")
@database_option
@json_option
def expire(
    access_key: str, at_ms: int | None, database: str, *, never: bool, as_json: bool
) -> None:
    """Change when an access key expires."""
    from openpns.accounts import access_keys
    from openpns.clock import now_ms

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
    help="For how long the old secret is accepted too; 0s refuses it at once.",
)
@database_option
@json_option
def rotate(access_key: str, grace: int, database: str, *, as_json: bool) -> None:
    """Give an access key a new secret, shown this once only."""
    from openpns.accounts import access_keys
    from openpns.clock import now_ms

    async def work(store: "Store", secret_box: "SecretBox") -> "NewSecret":
        return await access_keys.rotate(store, secret_box, now_ms, access_key, grace)

    _print_secret(_with_vault(database, work), as_json=as_json)
    until = f"accepted until {when(now_ms() + grace)}" if grace else "refused from now on"
    click.echo(f"the old secret is {until}", err=True)


def _with_vault(
    database: str, work: Callable[["Store", "SecretBox"], Awaitable[ResultT]]
) -> ResultT:
    from openpns.accounts import master_key

    async def run(store: "Store") -> ResultT:
        return await work(
            store, await master_key.open_secret_box(store, database, master_key_variable())
        )

    return with_store(database, run)


def _print_secret(made: "NewSecret", *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    click.echo(f"access key     {made.access_key}")
    click.echo(f"access secret  {made.access_secret}")
    click.echo(f"customer       {made.customer_id}")
    click.echo("Keep the secret now: it is not shown again.", err=True)


def _set_disabled(
    access_key: str, database: str, disabled_ms: int | None, *, as_json: bool
) -> None:
    from openpns.accounts import access_keys

    changed = with_store(
        database, lambda store: access_keys.disable(store, access_key, disabled_ms)
    )
    _print([changed], as_json=as_json, single=True)


def _set_md5_refused(
    access_key: str, database: str, refused_ms: int | None, *, as_json: bool
) -> None:
    from openpns.accounts import access_keys

    changed = with_store(
        database, lambda store: access_keys.require_sha256(store, access_key, refused_ms)
    )
    _print([changed], as_json=as_json, single=True)


def _print(found: Sequence["AccessKey"], *, as_json: bool, single: bool = False) -> None:
    if as_json:
        print_json(found[0] if single else found)
        return
    print_table(
        ("access key", "customer", "created", "expires", "state", "digests", "rate", "label"),
        [_row(key) for key in found],
        empty="no access keys yet; openpns keys create makes one",
    )


def _row(key: "AccessKey") -> tuple[str, ...]:
    from openpns.clock import now_ms

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
        when(key.created_ms),
        when(key.expires_ms),
        state,
        digests,
        _rate(key),
        key.label,
    )


def _rate(key: "AccessKey") -> str:
    if key.rate_per_s is None:
        return "default"
    if key.rate_per_s == 0:
        return "any"
    return f"{key.rate_per_s}/s" + (f" burst {key.rate_burst}" if key.rate_burst else "")
