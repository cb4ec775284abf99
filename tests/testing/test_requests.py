import pytest
from tests.testing.conftest import CREATE, LIST, PlainClient

from openpns.testing import Emulator
from openpns.testing.requests import body_as_dict


def test_requests_are_recorded_in_order(pns_server: Emulator, send: PlainClient) -> None:
    send("createGroup", CREATE)
    send("listGroup", {"limit": "ten"})
    first, second = pns_server.requests
    assert (first.action, first.body, first.code, first.http_status) == (
        "createGroup",
        CREATE,
        0,
        200,
    )
    assert first.access_key == pns_server.access_key
    assert (second.action, second.body, second.code) == ("listGroup", {"limit": "ten"}, 1002)


def test_requests_with_other_paths_are_recorded(pns_server: Emulator, send: PlainClient) -> None:
    send.send_raw("GET", "/", None, {})
    (seen,) = pns_server.requests
    assert (seen.action, seen.access_key, seen.body) == (None, None, None)
    assert (seen.code, seen.http_status) == (1002, 404)


def test_repr_shows_no_value_of_the_body(pns_server: Emulator, send: PlainClient) -> None:
    send("createGroup", CREATE)
    assert repr(pns_server.requests) == (
        "[ReceivedRequest(action='createGroup', code=0, fields=['phones', 'groupName'], faults=())]"
    )
    send.send_raw("POST", "/api/pns/", b"[]", {})
    assert "fields=None" in repr(pns_server.requests[-1])


def test_requests_is_a_copy(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.requests.append(None)  # type: ignore[arg-type]
    send("listGroup", LIST)
    assert len(pns_server.requests) == 1


@pytest.mark.parametrize("body", [None, b"", b"[]", b"1", b"\xff", b"{", b"[" * 100_000])
def test_body_is_none_if_it_is_not_a_json_object(body: bytes | None) -> None:
    assert body_as_dict(body) is None
