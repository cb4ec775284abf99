"""`openpns keys`."""

import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import click

from openpns.accounts import access_keys, customers, master_key
from openpns.accounts.access_keys import AccessKey, NewSecret, SigningKey
from openpns.accounts.secret_box import SecretBox
from openpns.cli.operator.key_options import Actions, Addresses, Duration, Moment, MomentOrNever
from openpns.cli.operator.key_printing import (
    print_changed,
    print_keys,
    print_secret,
    undone_if_not_shown,
)
from openpns.cli.options import (
    ResultT,
    database_option,
    format_time,
    json_option,
    master_key_variable,
    with_store,
)
from openpns.cli.streams import change_result
from openpns.clock import now_ms
from openpns.server.config import load_settings
from openpns.storage.store import Store

_DAY_MS: Final = 24 * 3_600_000


@click.group()
def keys() -> None:
    """Create, list, change, disable, enable and rotate access keys."""


@keys.command()
@click.option("--customer", "customer_id", required=True, help="The customer's id.")
@click.option("--access-key", help="Generated if not given.")
@click.option("--access-secret", help="Generated if not given; - reads it from stdin.")
@click.option("--label", default="", help="A note.")
@click.option(
    "--expires",
    "expires_ms",
    type=MomentOrNever(),
    metavar="DATE|never",
    help="When the key expires, e.g. 2027-01-31; the setting key_expires_days_default if not "
    "given.",
)
@click.option("--sha256-only", is_flag=True, help="Refuse md5 signatures.")
@click.option("--unique-ts", is_flag=True, help="No two different requests share a ts.")
@click.option("--rate-per-s", type=int, help="Requests per second; 0 for unlimited.")
@click.option("--rate-burst", type=int, help="Requests that may arrive at once.")
@click.option("--read-only", is_flag=True, help="Refuse every write.")
@click.option(
    "--require-hmac", "hmac_only", is_flag=True, help="Refuse signatures that are no HMAC."
)
@click.option(
    "--actions",
    "allowed_actions",
    type=Actions(),
    help="The actions that it may use, e.g. listGroup,getLimits; every one if not given.",
)
@click.option(
    "--addresses",
    "allowed_addresses",
    type=Addresses(),
    help="Where its requests may come from, e.g. 192.0.2.0/24,2001:db8::1; anywhere if not given.",
)
@database_option
@json_option
def create(
    customer_id: str,
    access_secret: str | None,
    expires_ms: int | None,
    database: str,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Create an access key; a generated secret is shown only once, a given one never."""
    is_given = access_secret is not None
    if access_secret == "-":  # noqa: S105
        line = sys.stdin.buffer.readline()
        access_secret = line.decode("utf-8", "replace").rstrip("\r\n")
    expires_ms = _expires_ms_default(database) if expires_ms is None else expires_ms or None
    made = _with_secret_box(
        database,
        lambda store, secret_box: access_keys.create(
            store,
            secret_box,
            now_ms,
            customer_id,
            access_secret=access_secret,
            expires_ms=expires_ms,
            **options,
        ),
    )
    if is_given:
        with change_result():
            print_secret(made, as_json=as_json, is_shown=False)
    else:
        disable = partial(access_keys.disable, access_key=made.access_key, now_ms=now_ms())
        with undone_if_not_shown(
            lambda: with_store(database, disable),
            done=f"the access key {made.access_key} was created and is disabled now",
            left=f"disable the access key {made.access_key}",
        ):
            print_secret(made, as_json=as_json)
    if expires_ms is not None:
        click.echo(f"the key expires {format_time(expires_ms)}", err=True)


def _expires_ms_default(database: str) -> int | None:
    """Return when a new key expires if the command does not say so; None for never."""
    settings = load_settings({"database": database}, os.environ)
    days = settings.key_expires_days_default
    return now_ms() + days * _DAY_MS if days else None


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

    print_keys(with_store(database, work), as_json=as_json)


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
        print_changed(changed, as_json=as_json)


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
    "require-hmac",
    access_keys.require_hmac,
    "Refuse signatures of an access key that are no HMAC: they are answered 1003 from now on.",
    on=True,
)
_add_switch(
    "allow-digests",
    access_keys.require_hmac,
    "Accept md5 and sha256 signatures of an access key again.",
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


@keys.command("set-actions")
@click.argument("access_key")
@click.option("--only", type=Actions(), help="These actions, e.g. listGroup,getLimits.")
@click.option("--any", "is_any", is_flag=True, help="Every action.")
@database_option
@json_option
def set_actions(
    access_key: str, only: list[str] | None, database: str, *, is_any: bool, as_json: bool
) -> None:
    """Change which actions an access key may use; others are answered 1005."""
    _check_one_given(only, is_any=is_any)
    changed = with_store(database, lambda store: access_keys.set_actions(store, access_key, only))
    print_changed(changed, as_json=as_json)


@keys.command("set-addresses")
@click.argument("access_key")
@click.option("--only", type=Addresses(), help="These networks, e.g. 192.0.2.0/24,2001:db8::1.")
@click.option("--any", "is_any", is_flag=True, help="Every address.")
@database_option
@json_option
def set_addresses(
    access_key: str, only: list[str] | None, database: str, *, is_any: bool, as_json: bool
) -> None:
    """Change where requests of an access key may come from; others are answered 1005."""
    _check_one_given(only, is_any=is_any)
    changed = with_store(database, lambda store: access_keys.set_addresses(store, access_key, only))
    print_changed(changed, as_json=as_json)


def _check_one_given(only: list[str] | None, *, is_any: bool) -> None:
    if (only is None) != is_any:
        raise click.UsageError("give either --only or --any")


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
    print_changed(changed, as_json=as_json)


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
    print_changed(changed, as_json=as_json)


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

    async def work(store: Store, secret_box: SecretBox) -> tuple[SigningKey | None, NewSecret]:
        before = await access_keys.find(store, access_key)
        return before, await access_keys.rotate(store, secret_box, now_ms, access_key, grace)

    before, made = _with_secret_box(database, work)
    assert before is not None
    back = partial(access_keys.rotate_back, access_key=access_key, before=before)
    with undone_if_not_shown(
        lambda: with_store(database, back),
        done=f"the access key {access_key} has its old secret again",
        left=f"rotate the access key {access_key} again",
    ):
        print_secret(made, as_json=as_json)
    until = f"accepted until {format_time(now_ms() + grace)}" if grace else "refused from now on"
    click.echo(f"the old secret is {until}", err=True)


def _with_secret_box(
    database: str, work: Callable[[Store, SecretBox], Awaitable[ResultT]]
) -> ResultT:
    async def run(store: Store) -> ResultT:
        secret_box = await master_key.open_secret_box(store, database, master_key_variable())
        return await work(store, secret_box)

    return with_store(database, run)
