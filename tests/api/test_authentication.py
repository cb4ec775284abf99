from dataclasses import replace
from typing import Any

import pytest
from tests.api.conftest import Server
from tests.helpers import LIST_ALL, FailingStore, as_request, envelope_of, on_sqlite_only

from openpns.accounts import access_keys, customers
from openpns.accounts.access_keys import NewSecret
from openpns.errors import (
    InternalError,
    MethodNotAllowed,
    MissingHeaders,
    PathNotFound,
    PermissionDenied,
    ServiceUnavailable,
    TimestampExpired,
    WireError,
)


async def test_disabled_key_is_refused_from_the_next_request_on(server: Server) -> None:
    assert await server.code() == 0
    store, access_key = server.services.store, server.key.access_key
    await access_keys.disable(store, access_key, server.clock())
    assert await server.code() == 1005
    await access_keys.disable(store, access_key, None)
    assert await server.code() == 0


async def test_disabled_customer_is_refused_from_the_next_request_on(server: Server) -> None:
    assert await server.code() == 0
    store = server.services.store
    await customers.disable(store, "cus_1", server.clock())
    assert await server.code() == 1005
    await customers.disable(store, "cus_1", None)
    assert await server.code() == 0


async def test_expired_key_is_refused_from_its_time_on(server: Server) -> None:
    expires = server.clock() + 10_000
    short = await access_keys.create(
        server.services.store, server.secret_box, server.clock, "cus_1", expires_ms=expires
    )
    server.clock.now_ms = expires - 1
    assert await server.code(key=short) == 0
    server.clock.now_ms = expires
    assert await server.code(key=short) == 1005


async def test_rotated_key_accepts_both_secrets_until_the_grace_ends(server: Server) -> None:
    old = server.key
    new = await access_keys.rotate(
        server.services.store, server.secret_box, server.clock, old.access_key, 10_000
    )
    assert new.access_secret != old.access_secret
    server.clock.now_ms += 9_999
    assert await server.code(key=old) == 0
    assert await server.code(key=new) == 0
    server.clock.now_ms += 1
    assert await server.code(key=old) == 1003
    assert await server.code(key=new) == 0


async def test_rotated_key_without_grace_refuses_the_old_secret_at_once(server: Server) -> None:
    old = server.key
    new = await access_keys.rotate(
        server.services.store, server.secret_box, server.clock, old.access_key, 0
    )
    assert await server.code(key=old) == 1003
    assert await server.code(key=new) == 0


@on_sqlite_only
@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
async def test_check_accepts_md5_and_sha256(server: Server, algorithm: str) -> None:
    assert await server.code(algorithm=algorithm) == 0


@on_sqlite_only
async def test_check_refuses_a_signature_of_the_other_algorithm(server: Server) -> None:
    headers = [*server.headers(), ("algorithm", "sha256")]
    assert await server.code(headers=headers) == 1003


@on_sqlite_only
@pytest.mark.parametrize("skew_ms", [-60_000, 0, 60_000])
async def test_check_accepts_a_ts_up_to_60_seconds_off(server: Server, skew_ms: int) -> None:
    assert await server.code(ts=server.clock() + skew_ms) == 0


@on_sqlite_only
@pytest.mark.parametrize("skew_ms", [-60_001, 60_001])
async def test_check_refuses_a_ts_more_than_60_seconds_off(server: Server, skew_ms: int) -> None:
    reply = await server.send(ts=server.clock() + skew_ms)
    assert envelope_of(reply)["code"] == 1004
    assert "60000 ms" in envelope_of(reply)["msg"]


@on_sqlite_only
async def test_check_refuses_a_body_that_differs_in_one_byte(server: Server) -> None:
    headers = server.headers(body=LIST_ALL)
    assert await server.code(body=LIST_ALL + b" ", headers=headers) == 1003


@on_sqlite_only
async def test_invalid_signature_does_not_show_the_right_one(server: Server) -> None:
    right = dict(server.headers())["sign"]
    wrong = [(name, "0" * 32 if name == "sign" else value) for name, value in server.headers()]
    reply = await server.send(headers=wrong)
    assert envelope_of(reply)["msg"] == "Invalid signature"
    assert right not in server.log.text


@on_sqlite_only
async def test_check_refuses_an_unknown_key_and_the_signature_of_another(server: Server) -> None:
    unknown = NewSecret("no-such-key", server.key.access_secret, "cus_1")
    assert await server.code(key=unknown) == 1005
    other = await access_keys.create(
        server.services.store, server.secret_box, server.clock, "cus_1"
    )
    mixed = NewSecret(server.key.access_key, other.access_secret, "cus_1")
    assert await server.code(key=mixed) == 1003


@on_sqlite_only
async def test_check_refuses_another_biz_type_even_if_signed(server: Server) -> None:
    assert await server.code(biz_type="4") == 1002


@on_sqlite_only
@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"path": "/"}, PathNotFound),
        ({"method": "PUT"}, MethodNotAllowed),
        ({"headers": [("x", "y")]}, MissingHeaders),
        ({"ts": 1}, TimestampExpired),
        ({"key": NewSecret("no-such-key", "secret", "")}, PermissionDenied),
    ],
    ids=["good", "path", "method", "headers", "ts", "key"],
)
async def test_admit_refuses_a_body_if_the_headers_tell_enough(
    server: Server, changed: dict[str, Any], fault: type[WireError] | None
) -> None:
    given = {"path": "/api/pns/", "method": "POST"} | changed
    target = {name: given.pop(name) for name in ("path", "method")}
    headers = given.pop("headers", None) or server.headers(**given)
    found = await server.api.admit(as_request(headers, b"", **target))
    assert isinstance(found, fault) if fault else found is None


@on_sqlite_only
async def test_admit_refuses_a_body_if_the_storage_fails(server: Server) -> None:
    for error, kind in ((ServiceUnavailable(), ServiceUnavailable), (ValueError(), InternalError)):
        store = FailingStore(server.services.store, "key_find", error)
        server.make_api(replace(server.services, store=store))
        fault = await server.api.admit(as_request(server.headers(), b""))
        assert isinstance(fault, kind)
