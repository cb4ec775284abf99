"""`openpns webhooks test`, on the database."""

import asyncio
import os
import secrets
from typing import Final

import click

from openpns.cli.exit_codes import ExitCode
from openpns.cli.moments import Duration
from openpns.cli.options import database_option, json_option, with_store
from openpns.cli.output import print_json
from openpns.cli.webhooks.options import customer_option
from openpns.clock import now_ms
from openpns.core import worker_ids
from openpns.deliveries import operations
from openpns.deliveries.wire import DELIVERED, PENDING, DeliveryInfo
from openpns.kit.plain_text import plain
from openpns.kit.utc_offset import parse_utc_offset
from openpns.server.config import load_settings
from openpns.storage.store import Store

_LOOK_EACH_S: Final = 0.2
_WAIT_MS_MAX: Final = 600_000


@click.command()
@customer_option
@click.option(
    "--wait",
    "wait_ms",
    type=Duration(),
    default="30s",
    show_default=True,
    help="How long to wait for the result; at most 10m.",
)
@database_option
@json_option
@click.pass_context
def test(
    context: click.Context, /, customer_id: str, wait_ms: int, database: str, *, as_json: bool
) -> None:
    """Send a test event to the webhook of a customer, and say what the receiver answered.

    A delivery worker sends it: openpns serve or openpns worker must run. There is one attempt.
    """
    if not 0 < wait_ms <= _WAIT_MS_MAX:
        raise click.BadParameter("allowed are 1s to 10m", param_hint="'--wait'")
    zone = parse_utc_offset(load_settings({"database": database}, os.environ).webhook_time_zone)

    async def work(store: Store) -> tuple[DeliveryInfo, bool]:
        owner = f"webhooks test {secrets.token_hex(8)}"
        ids = await worker_ids.take(store, now_ms, owner)
        try:
            delivery_id = await operations.add_test(store, now_ms, ids, customer_id, zone)
        finally:
            await worker_ids.release(store, owner, ids)
        try:
            await _wait(store, customer_id, delivery_id, wait_ms)
        finally:
            # It must not be sent later, when nobody expects it; also if the command is interrupted.
            is_ended = await operations.end_test(store, now_ms, customer_id, delivery_id)
        return await operations.get_delivery(store, customer_id, delivery_id), is_ended

    found, is_ended = with_store(database, work, label="waiting for the result")
    if as_json:
        print_json(found)
    if found.state == DELIVERED:
        if not as_json:
            click.echo(f"delivered: the receiver answered {found.last_status}")
        return
    click.echo(plain(f"openpns: {_explain(found, wait_ms, is_ended=is_ended)}"), err=True)
    context.exit(ExitCode.FAILED if found.tries else ExitCode.UNAVAILABLE)


async def _wait(store: Store, customer_id: str, delivery_id: str, wait_ms: int) -> None:
    """Return after the attempt, or at the end of the time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + wait_ms / 1000
    while True:
        found = await operations.get_delivery(store, customer_id, delivery_id)
        if found.tries or found.state != PENDING or loop.time() >= end_s:
            return
        await asyncio.sleep(_LOOK_EACH_S)


def _explain(found: DeliveryInfo, wait_ms: int, *, is_ended: bool) -> str:
    """Return why a test was not delivered, and what to do."""
    waited = f"{wait_ms // 1000} s"
    if not found.tries and not is_ended:
        return (
            f"no result after {waited}: an attempt is in flight, and the receiver has not answered "
            f"yet; its result will be in: openpns webhooks deliveries (id {found.id})"
        )
    if not found.tries:
        return (
            f"no worker has taken the test event within {waited}, and it was withdrawn; is openpns "
            "serve (with webhook_worker=on) or openpns worker running on this database? If the "
            "receiver has a long backlog, wait longer: --wait 10m"
        )
    if found.last_status:
        return (
            f"the receiver answered {found.last_status}; a receiver must answer 200 to 299 in "
            f"time, without a redirect{_advice(found.last_status)}"
        )
    return (
        f"not delivered: {found.last_error}; check the URL, the receiver, its certificate and the "
        "settings webhook_networks_allowed and webhook_http_allowed"
    )


def _advice(status: int) -> str:
    if status in (401, 403):
        return ". Does it check the signature with the right secret?"
    if 300 <= status < 400:  # noqa: PLR2004
        return ". Set the URL that it redirects to"
    if status == 410:  # noqa: PLR2004
        return ". The webhook is gone now: nothing is sent until openpns webhooks enable"
    return ""
