"""What `openpns keys` prints."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import msgspec

from openpns.accounts.access_keys import AccessKey, NewSecret
from openpns.accounts.key_uses import EXPIRES_SOON_MS
from openpns.cli.options import format_time
from openpns.cli.output import print_json, print_table
from openpns.cli.streams import OutputFailed, change_result
from openpns.clock import now_ms
from openpns.errors import OpenPNSError
from openpns.kit.plain_text import plain


@contextmanager
def undone_if_not_shown(undo: Callable[[], object], *, done: str, left: str) -> Iterator[None]:
    """Print a new secret; if that fails or is interrupted, undo the change: the secret is lost.

    It is not printed on stderr, which is often a log.

    Args:
        done: What the undoing has done.
        left: What the user must do if the undoing fails.
    """
    try:
        yield
    except (OutputFailed, KeyboardInterrupt) as error:
        try:
            undo()
        except OpenPNSError as failure:
            done = f"{left}: its new secret is lost, and undoing that failed ({failure})"
        why = "interrupted"
        if isinstance(error, OutputFailed):
            why = str(error)
            error.is_shown = True
        click.echo(plain(f"openpns: {why}; {done}"), err=True)
        raise


def print_secret(made: NewSecret, *, as_json: bool, is_shown: bool = True) -> None:
    """Print an access key and, if `is_shown`, its secret."""
    if as_json:
        shown = msgspec.to_builtins(made)
        if not is_shown:
            del shown["accessSecret"]
        print_json(shown)
        return
    click.echo(f"access key     {made.access_key}")
    if is_shown:
        click.echo(f"access secret  {made.access_secret}")
    click.echo(f"customer       {made.customer_id}")
    if is_shown:
        click.echo("Store the secret now: it is not shown again.", err=True)


def print_changed(changed: AccessKey, *, as_json: bool) -> None:
    """Print an access key that was changed."""
    with change_result():
        print_keys(changed, as_json=as_json)


def print_keys(found: AccessKey | list[AccessKey], *, as_json: bool) -> None:
    """Print access keys without their secrets."""
    if as_json:
        print_json(found)
        return
    print_table(
        (
            *("access key", "customer", "created", "expires", "last used", "state", "signatures"),
            *("ts", "rate", "actions", "addresses", "label"),
        ),
        [_row(key) for key in (found if isinstance(found, list) else [found])],
        empty="no access keys; create one with: openpns keys create",
    )


def _row(key: AccessKey) -> tuple[str, ...]:
    return (
        key.access_key,
        key.customer_id,
        format_time(key.created_ms),
        format_time(key.expires_ms),
        format_time(key.last_used_ms),
        _state(key),
        _signatures(key),
        "any" if key.unique_ts_since_ms is None else "unique",
        _rate(key),
        key.allowed_actions or "any",
        key.allowed_addresses or "any",
        key.label,
    )


def _state(key: AccessKey) -> str:
    if key.disabled_ms is not None:
        return "disabled"
    left_ms = math.inf if key.expires_ms is None else key.expires_ms - now_ms()
    if left_ms <= 0:
        return "expired"
    state = "active" if key.read_only_ms is None else "read-only"
    return state if left_ms > EXPIRES_SOON_MS else f"{state}, expires soon"


def _signatures(key: AccessKey) -> str:
    if key.hmac_only_since_ms is not None:
        return "hmac"
    return "md5 sha256 hmac" if key.sha256_only_since_ms is None else "sha256 hmac"


def _rate(key: AccessKey) -> str:
    if key.rate_per_s is None:
        return "default"
    if key.rate_per_s == 0:
        return "unlimited"
    return f"{key.rate_per_s}/s" + (f" burst {key.rate_burst}" if key.rate_burst else "")
