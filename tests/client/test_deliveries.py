"""The methods for webhooks and deliveries, of both clients, on a real server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from tests.client.shells import Use, run_live_async, run_live_sync
from tests.deliveries.actions import URL
from tests.deliveries.emulated import add_webhook

import openpns
from openpns.api.registry import ACTIONS
from openpns.client import delivery_requests as requests
from openpns.client.delivery_types import Delivery, DeliveryPage, Resent, Webhook
from openpns.client.pages import DeliveryPager
from openpns.client.requests import Request
from openpns.testing import Emulator

Run = Callable[[Use], Any]
AT = datetime(2022, 12, 8, 6, 7, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def started() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def server(started: Emulator) -> Emulator:
    started.reset()
    return started


@pytest.fixture(params=[run_live_sync, run_live_async])
def run(request: pytest.FixtureRequest, server: Emulator) -> Run:
    """Run a use of either client on the server; return its result."""
    return lambda use: request.param(server, use)


def test_customer_without_webhook_has_none(run: Run) -> None:
    assert run(lambda pns: pns.webhook.get()) is None
    assert run(lambda pns: pns.deliveries.list()) == DeliveryPage([], None)
    with pytest.raises(openpns.NotFound):
        run(lambda pns: pns.deliveries.resend("1602262000000000001"))


def test_deliveries_are_listed_and_resent(run: Run, server: Emulator) -> None:
    first, second, third = add_webhook(server)
    assert run(lambda pns: pns.webhook.get()) == Webhook(
        URL, ("callRecord", "unboundCall"), "active"
    )
    page = run(lambda pns: pns.deliveries.list(2))
    assert [found.id for found in page.deliveries] == [third, second]
    assert page.next == second
    failed = page.deliveries[1]
    assert (failed.webhook_id, failed.kind, failed.state) == (
        f"msg_{second}",
        "callRecord",
        "failed",
    )
    assert (failed.tries, failed.next_try, failed.last_try, failed.last_status) == (
        *(0, None, None, None),
    )
    assert failed.last_error == "webhook disabled"
    assert [found.id for found in run(lambda pns: pns.deliveries.iterate(1))] == [
        third,
        second,
        first,
    ]
    assert [found.id for found in run(lambda pns: pns.deliveries.iterate(state="failed"))] == [
        second,
        first,
    ]
    assert run(lambda pns: pns.deliveries.resend(first)) == Resent(1, False)
    since = failed.created
    assert run(lambda pns: pns.deliveries.resend(since=since, client_token="t")).count == 1
    assert run(lambda pns: pns.deliveries.resend(since=since, client_token="t")).count == 1
    assert run(lambda pns: pns.deliveries.resend(since=since)).count == 0
    assert run(lambda pns: pns.deliveries.list(state="failed")).deliveries == []


SENT: list[tuple[Request[Any], str, Any]] = [
    (requests.get_webhook(), "getWebhook", {}),
    (requests.list_deliveries(), "listDeliveries", {"limit": 1000, "after": ""}),
    (
        requests.list_deliveries(5, "7", state="failed"),
        "listDeliveries",
        {"limit": 5, "after": "7", "state": "failed"},
    ),
    (requests.resend_delivery("7"), "resendDelivery", {"id": "7"}),
    (
        requests.resend_delivery(since=AT + timedelta(microseconds=999_999), client_token="t"),
        "resendDelivery",
        {"since": 1_670_479_632, "clientToken": "t"},
    ),
    (
        requests.resend_delivery(since=AT.astimezone(timezone(timedelta(hours=8)))),
        "resendDelivery",
        {"since": 1_670_479_632},
    ),
]


@pytest.mark.parametrize(("request_", "action", "body"), SENT)
def test_request_has_action_and_body(request_: Request[Any], action: str, body: Any) -> None:
    assert (request_.action, request_.body) == (action, body)
    is_write = ACTIONS[action].is_write
    assert (request_.is_read, request_.has_client_token) == (not is_write, is_write)
    assert request_.is_extension


def test_every_action_on_deliveries_has_a_request() -> None:
    own = {
        name
        for name, action in ACTIONS.items()
        if action.request.__module__.startswith("openpns.deliveries.")
    }
    assert {action for _, action, _ in SENT} == own


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "one of delivery_id and since must be given, not both"),
        ({"delivery_id": "7", "since": AT}, "one of delivery_id and since must be given"),
        ({"since": AT.replace(tzinfo=None)}, "since must have a time zone"),
        ({"since": 1_670_479_632}, "since must be a datetime, not int"),
    ],
)
def test_resend_refuses_wrong_arguments(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises((ValueError, openpns.ParameterError), match=why):
        requests.resend_delivery(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"delivery_id": 7}, {"delivery_id": "7", "client_token": ""}]
)
def test_resend_refuses_what_would_be_sent_as_something_else(arguments: dict[str, Any]) -> None:
    with pytest.raises(openpns.ParameterError):
        requests.resend_delivery(**arguments)


ROW = {
    "id": "7",
    "webhookId": "msg_7",
    "kind": "callRecord",
    "state": "pending",
    "tries": 2,
    "nextAt": 1_670_479_692,
    "lastStatus": 503,
    "lastError": "HTTP 503",
    "createdAt": 1_670_479_632,
    "lastAt": 1_670_479_633,
}


@pytest.mark.parametrize(
    ("data", "resent"),
    [({"count": 5}, Resent(5, False)), ({"count": 10_000, "hasMore": True}, Resent(10_000, True))],
)
def test_response_says_whether_there_are_others(data: Any, resent: Resent) -> None:
    assert requests.resend_delivery("7").read({"data": data}) == resent


def test_response_is_read_into_datetimes() -> None:
    read = requests.list_deliveries().read({"data": {"deliveries": [ROW], "next": "7"}})
    delivery = Delivery(
        *("7", "msg_7", "callRecord", "pending", 2),
        AT + timedelta(seconds=60),
        AT + timedelta(seconds=1),
        *(503, "HTTP 503", AT),
    )
    assert read == DeliveryPage([delivery], "7")


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (requests.get_webhook(), {}),
        (requests.list_deliveries(), {"deliveries": []}),
        (requests.list_deliveries(), {"deliveries": [ROW | {"nextAt": -1}], "next": None}),
        (requests.list_deliveries(), {"deliveries": [ROW | {"createdAt": 10**15}], "next": None}),
        (requests.resend_delivery("7"), {"count": "1"}),
    ],
)
def test_read_refuses_another_response(request_: Request[Any], data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        request_.read({"data": data})


def test_repr_shows_no_url() -> None:
    assert "hunter2" not in repr(Webhook("https://example.com/?key=hunter2", (), "active"))


def test_pager_ends_at_an_empty_page_and_refuses_wrong_sizes() -> None:
    pager = DeliveryPager(5, None)
    assert pager.next_request() is not None
    pager.accept(DeliveryPage([], "7"))
    assert pager.next_request() is None
    with pytest.raises(ValueError, match=r"from 1 to 1000$"):
        DeliveryPager(1001, None)
