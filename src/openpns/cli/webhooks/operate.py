"""`openpns webhooks set|rotate-secret|disable|enable|remove`, on the database."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import click
import httpx2

from openpns.accounts import master_key
from openpns.accounts.secret_box import SecretBox
from openpns.cli.confirmation import confirm
from openpns.cli.moments import Duration
from openpns.cli.operator.key_printing import undone_if_not_shown
from openpns.cli.options import (
    ResultT,
    database_option,
    format_time,
    json_option,
    master_key_variable,
    with_store,
)
from openpns.cli.output import print_json
from openpns.cli.streams import change_result
from openpns.cli.webhooks.options import Kinds, customer_option
from openpns.cli.webhooks.printing import print_attributes, print_webhook
from openpns.clock import now_ms
from openpns.deliveries import endpoints
from openpns.deliveries.addresses import refusal
from openpns.deliveries.endpoints import NewSecret
from openpns.deliveries.rows import StoredWebhook, Webhook
from openpns.deliveries.wire import ACTIVE, DISABLED
from openpns.kit.networks import Networks, parse_address
from openpns.kit.plain_text import plain
from openpns.server.config import load_settings
from openpns.storage.store import Store

_LOOPBACK: Final = "127.0.0.1"
_TIMEOUT_MS: Final = 600_000


@click.command("set")
@customer_option
@click.option(
    "--url", required=True, help="Where events are delivered, such as https://example.com/hook."
)
@click.option(
    "--kinds",
    type=Kinds(),
    help="Which events: callRecord, unboundCall; if not given, those that it has, or all.",
)
@database_option
@json_option
def set_(
    customer_id: str, url: str, kinds: list[str] | None, database: str, *, as_json: bool
) -> None:
    """Set where the events of a customer are delivered.

    The first time, it gets a secret, which is shown only once. Later the secret stays as it is.
    """
    settings = load_settings({"database": database}, os.environ)
    webhook, made = _with_secret_box(
        database,
        lambda store, secret_box: endpoints.set_webhook(
            store,
            secret_box,
            now_ms,
            customer_id,
            url,
            kinds,
            http_allowed=settings.webhook_http_allowed == "on",
        ),
    )
    if made is None:
        with change_result():
            print_webhook(webhook, as_json=as_json)
    else:
        disable = partial(
            endpoints.set_state, clock=now_ms, customer_id=customer_id, state=DISABLED
        )
        with undone_if_not_shown(
            lambda: with_store(database, disable),
            done=f"the webhook of {customer_id} was created and is disabled now; rotate its "
            "secret, then enable it",
            left=f"rotate the secret of the webhook of {customer_id}",
        ):
            _print_secret(made, as_json=as_json)
    if webhook.state == DISABLED:
        click.echo("it is disabled; to send events again: openpns webhooks enable", err=True)
    _warn_of_address(url, settings.webhook_networks_allowed or "")


@click.command("rotate-secret")
@customer_option
@click.option(
    "--grace",
    type=Duration(),
    default="24h",
    show_default=True,
    help="How long events are signed with the old secret as well, at most 30d; 0s for not at all.",
)
@database_option
@json_option
def rotate_secret(customer_id: str, grace: int, database: str, *, as_json: bool) -> None:
    """Give a webhook a new secret, which is shown only once."""

    async def work(store: Store, secret_box: SecretBox) -> tuple[StoredWebhook, NewSecret]:
        before = await endpoints.get(store, customer_id)
        made = await endpoints.rotate_secret(store, secret_box, now_ms, customer_id, grace)
        return before, made

    before, made = _with_secret_box(database, work)
    back = partial(endpoints.rotate_back, before=before)
    with undone_if_not_shown(
        lambda: with_store(database, back),
        done=f"the webhook of {customer_id} has its old secret again",
        left=f"rotate the secret of the webhook of {customer_id} again",
    ):
        _print_secret(made, as_json=as_json)
    until = f"in force until {format_time(now_ms() + grace)}" if grace else "not in force any more"
    click.echo(f"the old secret is {until}", err=True)


@click.command()
@customer_option
@database_option
@json_option
def disable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Send nothing to a webhook until it is enabled.

    What is pending waits. Events that occur meanwhile are stored as failed: openpns webhooks resend
    sends them later.
    """
    _set_state(customer_id, DISABLED, database, as_json=as_json)


@click.command()
@customer_option
@database_option
@json_option
def enable(customer_id: str, database: str, *, as_json: bool) -> None:
    """Send events to a webhook again, also to one that is gone."""
    before = _set_state(customer_id, ACTIVE, database, as_json=as_json)
    if before != ACTIVE:
        click.echo(
            f"events that occurred while it was {before} are failed; to send them: "
            "openpns webhooks resend --since TIME",
            err=True,
        )


@click.command()
@customer_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@database_option
def remove(customer_id: str, database: str, *, yes: bool) -> None:
    """Delete a webhook and all its deliveries permanently, also pending ones.

    Events that occur later are not stored. To keep what is stored, use openpns webhooks disable. A
    run that was interrupted can be repeated.
    """
    if not yes:
        confirm(f"Delete the webhook of {customer_id} and all its deliveries?")
    deleted = with_store(
        database,
        lambda store: endpoints.remove(store, customer_id),
        timeout_ms=_TIMEOUT_MS,
        label="deleting",
    )
    with change_result():
        click.echo(f"webhook removed; deliveries deleted: {deleted}")


def _warn_of_address(url: str, allowed: str) -> None:
    """Warn if no worker may connect to the address in a URL.

    Names are not resolved: another address may come for them when a worker connects, which decides.
    """
    host = httpx2.URL(url).host
    address = _LOOPBACK if host == "localhost" else host
    why = refusal(address, Networks(allowed)) if parse_address(address) else None
    if why is not None:
        click.echo(
            plain(
                f"note: {host} is not connected to ({why}), unless the setting "
                "webhook_networks_allowed of the worker allows it"
            ),
            err=True,
        )


def _set_state(customer_id: str, state: str, database: str, *, as_json: bool) -> str:
    """Change the state of a webhook; return the state that it had."""

    async def work(store: Store) -> tuple[str, Webhook]:
        before = await endpoints.get(store, customer_id)
        return before.state, await endpoints.set_state(store, now_ms, customer_id, state)

    before, changed = with_store(database, work)
    with change_result():
        print_webhook(changed, as_json=as_json)
    if before == state:
        click.echo(f"nothing was changed: the webhook was {state} already", err=True)
    return before


def _print_secret(made: NewSecret, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    print_attributes([("customer", made.customer_id), ("url", made.url), ("secret", made.secret)])
    click.echo("Give the secret to the receiver now: it is not shown again.", err=True)


def _with_secret_box(
    database: str, work: Callable[[Store, SecretBox], Awaitable[ResultT]]
) -> ResultT:
    async def run(store: Store) -> ResultT:
        secret_box = await master_key.open_secret_box(store, database, master_key_variable())
        return await work(store, secret_box)

    return with_store(database, run)
