import pytest
from tests.testing.conftest import CREATE, LIST, Caller

from openpns.testing import Emulator
from openpns.testing.requests import body_as_dict


def test_calls_tell_what_arrived_in_order(pns_server: Emulator, call: Caller) -> None:
    call("createGroup", CREATE)
    call("listGroup", {"limit": "ten"})
    first, second = pns_server.calls
    assert (first.action, first.body, first.code, first.http_status) == (
        "createGroup",
        CREATE,
        0,
        200,
    )
    assert first.access_key == pns_server.access_key
    assert (second.action, second.body, second.code) == ("listGroup", {"limit": "ten"}, 1002)


def test_what_is_no_call_is_told_too(pns_server: Emulator, call: Caller) -> None:
    call.send("GET", "/", None, {})
    (seen,) = pns_server.calls
    assert (seen.action, seen.access_key, seen.body) == (None, None, None)
    assert (seen.code, seen.http_status) == (1002, 404)


def test_a_call_shows_no_value_of_its_body(pns_server: Emulator, call: Caller) -> None:
    call("createGroup", CREATE)
    assert repr(pns_server.calls) == (
        "[ReceivedCall(action='createGroup', code=0, fields=['phones', 'groupName'], faults=())]"
    )
    call.send("POST", "/api/pns/", b"[]", {})
    assert "fields=None" in repr(pns_server.calls[-1])


def test_the_list_is_a_copy(pns_server: Emulator, call: Caller) -> None:
    pns_server.calls.append(None)  # type: ignore[arg-type]
    call("listGroup", LIST)
    assert len(pns_server.calls) == 1


@pytest.mark.parametrize("body", [None, b"", b"[]", b"1", b"\xff", b"{", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_none(body: bytes | None) -> None:
    assert body_as_dict(body) is None
