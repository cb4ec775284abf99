import http.client
import threading
from collections.abc import Callable

import pytest
from tests.testing.conftest import CREATE, LIST, Caller

from openpns.errors import WIRE_ERRORS
from openpns.testing import Emulator, Faults


def test_internal_error_is_answered_500_and_nothing_is_written(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.internal_error()
    answer = call("createGroup", CREATE)
    assert (answer.status, answer.code) == (500, 19005)
    assert answer.headers["X-Request-Id"] == answer.envelope["requestId"]
    assert pns_server.groups() == []
    assert call("createGroup", CREATE).code == 0


def test_unavailable_is_answered_503_with_retry_after(pns_server: Emulator, call: Caller) -> None:
    pns_server.faults.unavailable()
    answer = call("createGroup", CREATE)
    assert (answer.status, answer.code) == (503, 19004)
    assert answer.headers["Retry-After"] == "1"
    assert pns_server.groups() == []
    pns_server.faults.unavailable(retry_after_s=7)
    assert call("listGroup", LIST).headers["Retry-After"] == "7"


def test_expired_is_answered_1004_while_the_clock_stays_right(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.expired()
    answer = call("listGroup", LIST)
    assert (answer.status, answer.code) == (200, 1004)
    assert answer.envelope["msg"].startswith("Timestamp has expired: ")
    assert call("listGroup", LIST).code == 0


def test_drop_before_commit_closes_without_a_byte_and_writes_nothing(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.drop_before_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        call("createGroup", CREATE)
    assert pns_server.groups() == []
    (seen,) = pns_server.calls
    assert (seen.body, seen.code, seen.faults) == (CREATE, None, ("drop_before_commit",))
    assert call("createGroup", CREATE).code == 0


def test_drop_after_commit_closes_without_a_byte_though_it_is_written(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.drop_after_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        call("createGroup", CREATE)
    (group,) = pns_server.groups()
    assert group.phones == ["85211111114", "8613800138000"]
    (seen,) = pns_server.calls
    assert (seen.code, seen.faults) == (0, ("drop_after_commit",))


def test_after_drop_after_commit_the_same_bytes_or_token_have_the_first_answer(
    pns_server: Emulator, call: Caller
) -> None:
    for body, ts in ((CREATE, pns_server.clock()), (CREATE | {"clientToken": "order-7"}, None)):
        pns_server.reset()
        pns_server.faults.drop_after_commit()
        with pytest.raises(http.client.RemoteDisconnected):
            call("createGroup", body, ts=ts)
        (group,) = pns_server.groups()
        for _ in range(2):
            assert call("createGroup", body, ts=ts).envelope["groupId"] == group.group_id
        assert pns_server.groups() == [group]


def test_drop_after_commit_drops_a_large_answer_too(pns_server: Emulator, call: Caller) -> None:
    pns_server.add_group([str(8613800138000 + n) for n in range(300)])
    pns_server.faults.drop_after_commit()
    with pytest.raises(http.client.RemoteDisconnected):
        call("listGroup", LIST)
    assert call("listGroup", LIST).code == 0


def test_a_delayed_call_is_in_hand_until_its_delay_is_over(
    pns_server: Emulator, new_caller: Callable[[Emulator], Caller]
) -> None:
    pns_server.faults.delay(60, action="createGroup")
    patient = new_caller(pns_server)

    def wait() -> None:
        with pytest.raises(http.client.RemoteDisconnected):
            patient("createGroup", CREATE)

    thread = threading.Thread(target=wait)
    thread.start()
    while [seen.body for seen in pns_server.calls] != [CREATE]:
        thread.join(0.01)
        assert thread.is_alive()
    (held,) = pns_server.calls
    assert (held.code, held.faults) == (None, ("delay",))
    # Others are answered meanwhile.
    assert new_caller(pns_server)("listGroup", LIST).code == 0
    pns_server.reset()  # drops it: nothing reaches into the next test
    thread.join(10)
    assert not thread.is_alive()
    assert pns_server.groups() == []


def test_a_short_delay_ends_with_the_answer(pns_server: Emulator, call: Caller) -> None:
    pns_server.faults.delay(0.01)
    assert call("createGroup", CREATE).code == 0
    assert pns_server.calls[0].faults == ("delay",)


@pytest.mark.parametrize("code", WIRE_ERRORS)
def test_every_code_can_be_answered_with_its_status(
    pns_server: Emulator, call: Caller, code: int
) -> None:
    pns_server.faults.error(code, "as told")
    answer = call("listGroup", LIST)
    assert (answer.code, answer.status) == (code, WIRE_ERRORS[code].http_status)
    assert answer.envelope["msg"] == f"{WIRE_ERRORS[code].text}: as told"


def test_a_fault_is_for_so_many_calls(pns_server: Emulator, call: Caller) -> None:
    pns_server.faults.internal_error(times=2)
    assert [call("listGroup", LIST).code for _ in range(3)] == [19005, 19005, 0]


def test_a_fault_without_a_number_is_for_all_calls_until_clear(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.unavailable(times=None)
    assert [call("listGroup", LIST).code for _ in range(3)] == [19004] * 3
    pns_server.faults.clear()
    assert call("listGroup", LIST).code == 0


def test_a_fault_of_one_action_leaves_the_others_alone(pns_server: Emulator, call: Caller) -> None:
    pns_server.faults.internal_error(action="createGroup")
    assert call("listGroup", LIST).code == 0
    assert call("createGroup", CREATE).code == 19005


def test_faults_come_in_the_order_they_were_set_and_delays_besides(
    pns_server: Emulator, call: Caller
) -> None:
    pns_server.faults.unavailable()
    pns_server.faults.delay(0, times=2)
    pns_server.faults.expired()
    assert repr(pns_server.faults) == "Faults(unavailable, delay, expired)"
    assert [call("listGroup", LIST).code for _ in range(3)] == [19004, 1004, 0]
    assert [seen.faults for seen in pns_server.calls] == [
        ("delay", "unavailable"),
        ("delay", "expired"),
        (),
    ]


def test_what_is_no_call_meets_no_fault(pns_server: Emulator, call: Caller) -> None:
    pns_server.faults.internal_error()
    assert call.send("GET", "/api/pns/", None, {}).status == 405
    assert call.send("POST", "/", None, {}).status == 404
    assert call("listGroup", LIST).code == 19005


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda faults: faults.delay(-1), "seconds: allowed is a number from 0 on"),
        (lambda faults: faults.error(4711), "code: allowed are 1001, "),
        (lambda faults: faults.expired(times=0), "times: allowed is an integer from 1 on"),
        (lambda faults: faults.unavailable(retry_after_s=-1), "retry_after_s: allowed is"),
        (lambda faults: faults.expired(action="listgroup"), "action: allowed are listGroup, "),
    ],
)
def test_a_wrong_switch_is_refused(wrong: Callable[[Faults], None], why: str) -> None:
    faults = Faults()
    with pytest.raises(ValueError, match=why):
        wrong(faults)
    assert repr(faults) == "Faults()"
