"""Webhooks of the emulator, to receivers that use openpns.webhooks."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.testing.hook import Hook

from openpns.client.http import Client
from openpns.deliveries.signature import new_secret
from openpns.errors import ConfigError
from openpns.testing import Emulator
from openpns.webhooks import CallRecord, UnboundCall

DID, A, B, STRANGER = "85290000001", "85211111111", "85222222222", "85233333333"


@pytest.fixture
def hook(pns_server: Emulator) -> Iterator[Hook]:
    with Hook(pns_server.clock) as hook:
        yield hook


@pytest.fixture
def client(pns_server: Emulator) -> Iterator[Client]:
    key = (pns_server.access_key, pns_server.access_secret)
    with Client(pns_server.base_url, *key) as client:
        yield client


def bind(pns: Emulator, client: Client) -> str:
    pns.add_numbers(DID)
    return client.bindings.bind_axb(A, B, expire_s=0, customer_bind_id="order-7").bind_id


def talk(pns: Emulator, client: Client) -> str:
    """Let A call B, and report the call; return its id."""
    call_id = client.bindings.query(A, DID).call_id
    start = datetime.fromtimestamp(pns.clock() // 1000, UTC)
    client.call_records.report(
        call_id,
        start=start,
        answer=start + timedelta(seconds=8),
        hangup=start + timedelta(seconds=50),
        hangup_cause="NORMAL_CLEARING",
        hung_up_by="caller",
    )
    return call_id


def test_record_is_delivered_after_a_failure_with_the_same_id(
    pns_server: Emulator, client: Client, hook: Hook
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url)]
    bind_id = bind(pns_server, client)
    call_id = talk(pns_server, client)
    hook.statuses = [500]
    assert pns_server.deliver() == 1
    assert pns_server.deliver() == 0
    (delivery,) = pns_server.deliveries()
    assert (delivery.kind, delivery.state) == ("callRecord", "pending")
    assert (delivery.tries, delivery.last_status, delivery.last_error) == (1, 500, "status 500")
    assert hook.events == []

    pns_server.clock.advance(seconds=60)
    assert pns_server.deliver() == 1
    (delivery,) = pns_server.deliveries()
    assert (delivery.state, delivery.tries, delivery.last_status) == ("delivered", 2, 204)
    assert [event.message_id for event, _ in hook.attempts] == [delivery.webhook_id] * 2
    (event,) = hook.events
    assert isinstance(event, CallRecord)
    assert (event.call_id, event.bind_id, event.customer_bind_id) == (call_id, bind_id, "order-7")
    assert (event.caller, event.did, event.callee) == (A, DID, B)
    assert (event.status, event.duration_s, event.hung_up_by) == (1, 42, "caller")
    (record,) = pns_server.call_records()
    names = record.__struct_fields__
    assert [getattr(event, name) for name in names] == [getattr(record, name) for name in names]


def test_event_that_is_sent_again_is_a_repeat(
    pns_server: Emulator, client: Client, hook: Hook
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url)]
    bind(pns_server, client)
    talk(pns_server, client)
    pns_server.deliver()
    (delivery,) = pns_server.deliveries()
    assert client.deliveries.resend(delivery.id).count == 1
    assert pns_server.deliver() == 1
    assert len(hook.attempts) == 2
    assert len(hook.events) == 1


def test_calls_without_a_binding_are_delivered_in_order(
    pns_server: Emulator, client: Client, hook: Hook
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url, kinds=["unboundCall"])]
    bind(pns_server, client)
    talk(pns_server, client)  # a kind that this webhook does not want
    callers = [f"8523333333{digit}" for digit in range(5)]
    for caller in callers:
        assert pns_server.call(caller, DID) is None
    assert pns_server.deliver() == 5
    events = [event for event in hook.events if isinstance(event, UnboundCall)]
    assert [event.caller for event in events] == callers
    assert {event.did for event in events} == {DID}
    assert [one.kind for one in pns_server.deliveries()] == ["unboundCall"] * 5


def test_two_secrets_sign_after_a_rotation_until_its_grace_ends(
    pns_server: Emulator, hook: Hook
) -> None:
    old = pns_server.set_webhook(hook.url)
    new = pns_server.rotate_webhook_secret(grace_s=3600)
    assert pns_server.set_webhook(hook.url) == new  # it stays
    for secrets in ([old], [new]):
        hook.secrets = secrets
        pns_server.add_test_event()
        pns_server.deliver()
    assert [status for _, status in hook.attempts] == [204, 204]

    pns_server.clock.advance(seconds=3600)
    hook.secrets = [old]
    pns_server.call("85233333333", DID)
    pns_server.deliver()
    assert len(hook.attempts) == 2  # the receiver refused it
    newest = pns_server.deliveries()[0]
    assert (newest.state, newest.last_status) == ("pending", 401)
    hook.secrets = [new]
    pns_server.clock.advance(seconds=60)
    pns_server.deliver()
    assert isinstance(hook.events[-1], UnboundCall)
    assert hook.events[-1].message_id == newest.webhook_id


def test_delivery_fails_after_the_last_attempt_of_the_schedule(hook: Hook) -> None:
    with Emulator(webhook_schedule="vendor-2024") as pns:
        pns.clock.freeze()
        pns.set_webhook(hook.url)  # of which the receiver knows no secret
        hook.secrets = [new_secret()]
        pns.call("85233333333", DID)
        made = []
        for _ in range(4):
            made.append(pns.deliver())
            pns.clock.advance(seconds=300)
        assert made == [1, 1, 1, 0]
        (delivery,) = pns.deliveries()
        assert (delivery.state, delivery.tries) == ("failed", 3)


def test_gone_receiver_stops_its_webhook_until_it_is_set_again(
    pns_server: Emulator, client: Client, hook: Hook, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url)]
    hook.statuses = [410]
    pns_server.add_test_event()
    pns_server.deliver()
    stopped = client.webhook.get()
    assert stopped is not None
    assert stopped.state == "gone"
    assert "gone" not in capfd.readouterr().out  # it is logged, not printed
    assert pns_server.set_webhook(hook.url) == hook.secrets[0]
    pns_server.add_test_event()
    pns_server.deliver()
    assert len(hook.events) == 1


def test_disabled_webhook_keeps_events_as_failed(
    pns_server: Emulator, client: Client, hook: Hook
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url, state="disabled")]
    bind(pns_server, client)
    talk(pns_server, client)
    assert pns_server.deliver() == 0
    (delivery,) = pns_server.deliveries()
    assert (delivery.state, delivery.last_error) == ("failed", "webhook disabled")
    pns_server.set_webhook(hook.url)
    client.deliveries.resend(delivery.id)
    assert pns_server.deliver() == 1
    assert len(hook.events) == 1


def test_webhooks_of_customers_are_apart(pns_server: Emulator, hook: Hook) -> None:
    pns_server.add_customer("cus_2")
    own = pns_server.set_webhook(hook.url)
    other = pns_server.set_webhook(hook.url, customer_id="cus_2")
    assert own != other
    hook.secrets = [other]
    pns_server.add_test_event("cus_2")
    assert pns_server.deliver() == 1
    assert pns_server.deliveries() == []
    assert [one.state for one in pns_server.deliveries("cus_2")] == ["delivered"]


def test_wrong_arguments_raise(pns_server: Emulator) -> None:
    url = "http://127.0.0.1:1/hook"
    for call, why in (
        (lambda: pns_server.set_webhook("ftp://127.0.0.1/"), "scheme must be http or https"),
        (lambda: pns_server.set_webhook(url, kinds=["calls"]), "kinds: allowed are callRecord"),
        (lambda: pns_server.set_webhook(url, secret="secret"), "secret: allowed is whsec_"),
        (
            lambda: pns_server.set_webhook(url, state="gone"),  # type: ignore[arg-type]
            "state: allowed are active and disabled",
        ),
        (lambda: pns_server.set_webhook(url, customer_id="cus_9"), "'cus_9': does not exist"),
        (lambda: pns_server.deliveries("cus_9"), "'cus_9': does not exist"),
        (pns_server.rotate_webhook_secret, "has no webhook; use set_webhook first"),
        (pns_server.add_test_event, "has no webhook; use set_webhook first"),
        (lambda: Emulator(webhook_schedule="never"), "webhook_schedule: allowed is one of vendor"),
        (lambda: Emulator(webhook_timeout_ms=1), "webhook_timeout_ms: allowed is an integer from"),
    ):
        with pytest.raises(ConfigError, match=why):
            call()
    assert pns_server.set_webhook(url)
    with pytest.raises(ConfigError, match="grace_s: allowed is 0 or more"):
        pns_server.rotate_webhook_secret(grace_s=-1)


def test_given_secret_replaces_the_one_that_a_webhook_has(pns_server: Emulator, hook: Hook) -> None:
    mine = new_secret()
    assert pns_server.set_webhook(hook.url) != mine
    assert pns_server.set_webhook(hook.url, secret=mine) == mine
    assert pns_server.set_webhook(hook.url) == mine
    hook.secrets = [mine]
    pns_server.add_test_event()
    pns_server.deliver()
    assert len(hook.events) == 1


def test_reset_removes_webhooks_and_ends_a_delivery_that_waits(
    pns_server: Emulator, hook: Hook
) -> None:
    hook.secrets = [pns_server.set_webhook(hook.url)]
    arrived, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        go_on.wait(60)

    hook.before = wait
    pns_server.add_test_event()
    raised: list[BaseException] = []

    def deliver() -> None:
        try:
            pns_server.deliver()
        except RuntimeError as error:
            raised.append(error)

    delivering = threading.Thread(target=deliver)
    delivering.start()
    try:
        assert arrived.wait(60)
        pns_server.reset()
        delivering.join(60)
        assert [str(one) for one in raised] == [
            "the emulator was reset or stopped while it delivered"
        ]
        assert pns_server.deliveries() == []
        assert pns_server.deliver() == 0
    finally:
        go_on.set()


def test_emulator_can_deliver_by_itself(hook: Hook) -> None:
    delivered = threading.Event()
    with Emulator(delivers_by_itself=True) as pns:
        hook.before = delivered.set
        hook.secrets = [pns.set_webhook(hook.url)]
        pns.add_numbers(DID)
        assert pns.call(STRANGER, DID) is None
        assert delivered.wait(60)
        pns.reset()
        delivered.clear()
        hook.secrets = [pns.set_webhook(hook.url)]
        pns.add_test_event()
        assert delivered.wait(60)


def test_reset_ends_a_delivery_that_wakes_up_at_this_moment(hook: Hook) -> None:
    with Emulator(delivers_by_itself=True) as pns:
        pns.set_webhook(hook.url)

        async def wake_and_reset() -> None:
            for deliverer in pns._service.webhooks._deliverers:
                deliverer._wake.set()
            await pns._reset()

        pns._run(wake_and_reset())
        assert pns.deliveries() == []


def test_state_keeps_webhooks_with_their_secrets(hook: Hook, tmp_path: Path) -> None:
    old, new = new_secret(), new_secret()
    with Emulator() as pns:
        pns.set_webhook(hook.url, secret=old, kinds=["unboundCall"])
        pns.rotate_webhook_secret(grace_s=3600)
        pns.set_webhook(hook.url, secret=new)
        pns.add_customer("cus_2")
        pns.set_webhook(hook.url, customer_id="cus_2", state="disabled")
        pns.rotate_webhook_secret(customer_id="cus_2")
        pns.add_customer("cus_3")
        state = pns.dump()
    by_customer = {one["customerId"]: one.get("webhook") for one in state["customers"]}
    assert by_customer["cus_3"] is None
    assert by_customer["emulator-customer"]["secret"] == new
    assert by_customer["cus_2"]["state"] == "disabled"
    assert by_customer["cus_2"]["previousSecret"]
    file = tmp_path / "state.json"
    file.write_text(json.dumps(state), "utf-8")
    with Emulator(state=file) as pns:
        assert pns.dump() == state
        hook.secrets = [new]
        pns.add_test_event()
        pns.deliver()
        assert len(hook.events) == 1
        pns.reset()
        assert pns.dump() == state


def test_state_with_a_wrong_webhook_raises_with_its_place() -> None:
    for webhook, why in (
        ({"url": "x"}, r"state: \$\.customers\[0\]\.webhook: url: its scheme must be"),
        (
            {"url": "http://127.0.0.1/", "secret": "x"},
            r"state: \$\.customers\[0\]\.webhook: secret: allowed is whsec_",
        ),
    ):
        state = {"customers": [{"customerId": "cus_1", "webhook": webhook}]}
        with pytest.raises(ConfigError, match=why):
            Emulator(state=state).start()


def test_short_state_of_a_webhook_gets_a_secret_and_all_kinds() -> None:
    webhook = {"url": "http://127.0.0.1:1/", "state": "gone"}
    state = {"customers": [{"customerId": "emulator-customer", "webhook": webhook}]}
    with Emulator(state=state) as pns:
        (customer,) = pns.dump()["customers"]
    found = customer["webhook"]
    assert found.pop("secret").startswith("whsec_")
    assert found == webhook | {"kinds": ["callRecord", "unboundCall"]}


def test_emulator_without_webhooks_loads_no_http_client() -> None:
    code = (
        "import sys; from openpns.testing import Emulator\n"
        "with Emulator() as pns: pns.dump(); pns.reset()\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"httpx2", "httpcore2", "anyio"} & {*loaded}
