import http.client
import threading
from collections.abc import Callable

import pytest
from tests.testing.conftest import CREATE, LIST, PlainClient

from openpns.errors import WIRE_ERRORS
from openpns.testing import Emulator, Faults


def test_internal_error_sends_500_and_writes_nothing(
    pns_server: Emulator, send: PlainClient
) -> None:
    pns_server.faults.internal_error()
    answer = send("createGroup", CREATE)
    assert (answer.status, answer.code) == (500, 19005)
    assert answer.headers["X-Request-Id"] == answer.envelope["requestId"]
    assert pns_server.groups() == []
    assert send("createGroup", CREATE).code == 0


def test_unavailable_sends_503_and_retry_after(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.unavailable()
    answer = send("createGroup", CREATE)
    assert (answer.status, answer.code) == (503, 19004)
    assert answer.headers["Retry-After"] == "1"
    assert pns_server.groups() == []
    pns_server.faults.unavailable(retry_after_s=7)
    assert send("listGroup", LIST).headers["Retry-After"] == "7"


def test_expired_sends_1004_with_right_clock(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.expired()
    answer = send("listGroup", LIST)
    assert (answer.status, answer.code) == (200, 1004)
    assert answer.envelope["msg"].startswith("Timestamp has expired: ")
    assert send("listGroup", LIST).code == 0


def test_drop_before_commit_writes_nothing(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.drop_before_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        send("createGroup", CREATE)
    assert pns_server.groups() == []
    (seen,) = pns_server.requests
    assert (seen.body, seen.code, seen.faults) == (CREATE, None, ("drop_before_commit",))
    assert send("createGroup", CREATE).code == 0


def test_drop_after_commit_writes(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.drop_after_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        send("createGroup", CREATE)
    (group,) = pns_server.groups()
    assert group.phones == ["85211111114", "8613800138000"]
    (seen,) = pns_server.requests
    assert (seen.code, seen.faults) == (0, ("drop_after_commit",))


def test_client_token_returns_first_response_after_drop_after_commit(
    pns_server: Emulator, send: PlainClient
) -> None:
    body = CREATE | {"clientToken": "order-7"}
    pns_server.faults.drop_after_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        send("createGroup", body)
    (group,) = pns_server.groups()
    for _ in range(2):
        assert send("createGroup", body).envelope["groupId"] == group.group_id
    assert pns_server.groups() == [group]


def test_same_bytes_are_carried_out_again_unless_the_key_has_unique_ts(
    new_client: Callable[[Emulator], PlainClient],
) -> None:
    for unique_ts, count in ((False, 2), (True, 1)):
        key = {"accessKey": "key-1", "accessSecret": "secret-1", "uniqueTs": unique_ts}
        state = {"customers": [{"customerId": "cus_1", "accessKeys": [key]}]}
        with Emulator(state=state, access_key="key-1") as pns:
            send, ts = new_client(pns), pns.clock()
            pns.faults.drop_after_commit()
            with pytest.raises(http.client.RemoteDisconnected):
                send("createGroup", CREATE, ts=ts)
            assert send("createGroup", CREATE, ts=ts).code == 0
            assert len(pns.groups()) == count


def test_drop_after_commit_drops_a_large_response(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.add_group([str(8613800138000 + n) for n in range(300)])
    pns_server.faults.drop_after_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        send("listGroup", LIST)
    assert send("listGroup", LIST).code == 0


def test_delayed_request_is_in_flight_until_reset(
    pns_server: Emulator, new_client: Callable[[Emulator], PlainClient]
) -> None:
    pns_server.faults.delay(60, action="createGroup")
    patient = new_client(pns_server)

    def wait() -> None:
        with pytest.raises(http.client.RemoteDisconnected):
            patient("createGroup", CREATE)

    thread = threading.Thread(target=wait)
    thread.start()
    while [seen.body for seen in pns_server.requests] != [CREATE]:
        thread.join(0.01)
        assert thread.is_alive()
    (held,) = pns_server.requests
    assert (held.code, held.faults) == (None, ("delay",))
    # Other requests are answered in the meantime.
    assert new_client(pns_server)("listGroup", LIST).code == 0
    pns_server.reset()  # drops it, so that it does not affect the next test
    thread.join(10)
    assert not thread.is_alive()
    assert pns_server.groups() == []


def test_delayed_request_is_carried_out(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.delay(0.01)
    assert send("createGroup", CREATE).code == 0
    assert pns_server.requests[0].faults == ("delay",)


@pytest.mark.parametrize("code", WIRE_ERRORS)
def test_error_sends_each_code_with_its_status(
    pns_server: Emulator, send: PlainClient, code: int
) -> None:
    pns_server.faults.error(code, "on purpose")
    answer = send("listGroup", LIST)
    assert (answer.code, answer.status) == (code, WIRE_ERRORS[code].http_status)
    assert answer.envelope["msg"] == f"{WIRE_ERRORS[code].text}: on purpose"


def test_fault_affects_the_next_requests(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.internal_error(times=2)
    assert [send("listGroup", LIST).code for _ in range(3)] == [19005, 19005, 0]


def test_fault_without_times_lasts_until_clear(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.unavailable(times=None)
    assert [send("listGroup", LIST).code for _ in range(3)] == [19004] * 3
    pns_server.faults.clear()
    assert send("listGroup", LIST).code == 0


def test_fault_affects_only_its_action(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.internal_error(action="createGroup")
    assert send("listGroup", LIST).code == 0
    assert send("createGroup", CREATE).code == 19005


def test_faults_are_met_in_order_with_every_delay(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.unavailable()
    pns_server.faults.delay(0, times=2)
    pns_server.faults.expired()
    assert repr(pns_server.faults) == "Faults(unavailable, delay, expired)"
    assert [send("listGroup", LIST).code for _ in range(3)] == [19004, 1004, 0]
    assert [seen.faults for seen in pns_server.requests] == [
        ("delay", "unavailable"),
        ("delay", "expired"),
        (),
    ]


def test_other_paths_and_methods_meet_no_fault(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.faults.internal_error()
    assert send.send_raw("GET", "/api/pns/", None, {}).status == 405
    assert send.send_raw("POST", "/", None, {}).status == 404
    assert send("listGroup", LIST).code == 19005


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda faults: faults.delay(-1), "seconds: allowed is 0 or more"),
        (lambda faults: faults.error(4711), "code: allowed are 1001, "),
        (lambda faults: faults.expired(times=0), "times: allowed is an integer of 1 or more"),
        (lambda faults: faults.unavailable(retry_after_s=-1), "retry_after_s: allowed is"),
        (lambda faults: faults.expired(action="listgroup"), "action: allowed are listGroup, "),
    ],
)
def test_wrong_argument_raises_value_error(wrong: Callable[[Faults], None], why: str) -> None:
    faults = Faults()
    with pytest.raises(ValueError, match=why):
        wrong(faults)
    assert repr(faults) == "Faults()"
