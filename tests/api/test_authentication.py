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
from openpns.kit.networks import Networks
from openpns.transport.proxies import TrustedProxies


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


async def test_check_accepts_hmac_over_the_host_path_and_content_type_as_sent(
    server: Server,
) -> None:
    assert await server.code(headers=server.hmac_headers()) == 0
    sent = server.hmac_headers(host="PNS.test:8443", path="/v1/api/pns")
    assert await server.code(headers=sent, path="/v1/api/pns?a=b") == 0
    assert await server.code(headers=sent, path="/v1/api/pns/") == 1003
    sent = server.hmac_headers(path="/api%2Fpns/")
    assert await server.code(headers=sent, path="/api%2Fpns/") == 0
    assert await server.code(headers=sent) == 1003


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "pns.test.example"),
        ("content-type", "application/json; charset=utf-8"),
        ("nonce", "another-nonce-of-this-key"),
        ("action", "getLimits"),
        ("sign", "0" * 64),
    ],
)
async def test_check_refuses_hmac_if_a_signed_part_differs(
    server: Server, name: str, value: str
) -> None:
    changed = [(one, value if one == name else text) for one, text in server.hmac_headers()]
    assert await server.code(headers=changed) == 1003


async def test_check_refuses_hmac_with_another_body_or_secret_or_an_old_ts(server: Server) -> None:
    sent = server.hmac_headers()
    assert await server.code(headers=sent, body=LIST_ALL + b" ") == 1003
    stranger = NewSecret(server.key.access_key, "another-secret", "cus_1")
    assert await server.code(headers=server.hmac_headers(key=stranger)) == 1003
    server.clock.now_ms += 60_001
    assert await server.code(headers=sent) == 1004


async def test_check_takes_the_forwarded_host_of_a_trusted_proxy_only(server: Server) -> None:
    server.make_api(trusted_proxies=TrustedProxies(Networks("10.0.0.1")))
    sent = server.hmac_headers(host="pns.example.com")
    sent = [(name, "inside" if name == "host" else value) for name, value in sent]
    sent.append(("x-forwarded-host", "PNS.example.com"))
    assert await server.code(headers=sent, address="10.0.0.1") == 0
    assert await server.code(headers=sent, address="10.0.0.2") == 1003


async def test_key_that_requires_hmac_refuses_digests_with_a_text(server: Server) -> None:
    store, access_key = server.services.store, server.key.access_key
    await access_keys.require_hmac(store, access_key, server.clock())
    for algorithm in ("md5", "sha256"):
        refused = envelope_of(await server.send(algorithm=algorithm))
        assert refused["code"] == 1003
        assert "this accessKey demands hmac-sha256" in refused["msg"]
    stranger = NewSecret(access_key, "another-secret", "cus_1")
    assert envelope_of(await server.send(key=stranger))["msg"] == "Invalid signature"
    assert await server.code(headers=server.hmac_headers()) == 0
    await access_keys.require_hmac(store, access_key, None)
    await access_keys.require_sha256(store, access_key, server.clock())
    assert await server.code(headers=server.hmac_headers()) == 0
    assert await server.code(algorithm="sha256") == 0
    assert "demands sha256" in envelope_of(await server.send())["msg"]


async def test_key_with_addresses_is_refused_from_others_after_its_signature(
    server: Server,
) -> None:
    store, access_key = server.services.store, server.key.access_key
    await access_keys.set_addresses(store, access_key, ["192.0.2.0/24", "2001:db8::/32"])
    for address in ("192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"):
        assert await server.code(address=address) == 0
    for address in ("192.0.3.7", "2001:db9::7", "127.0.0.1", ""):
        refused = envelope_of(await server.send(address=address))
        assert refused["code"] == 1005
        assert refused["msg"].endswith(": the accessKey may not be used from this address")
    stranger = NewSecret(access_key, "another-secret", "cus_1")
    assert await server.code(key=stranger, address="192.0.3.7") == 1003
    await customers.disable(store, "cus_1", server.clock())
    refused = envelope_of(await server.send(address="192.0.3.7"))
    assert refused["msg"].endswith("customer is disabled")


async def test_key_with_addresses_is_checked_behind_a_trusted_proxy(server: Server) -> None:
    server.make_api(trusted_proxies=TrustedProxies(Networks("10.0.0.1")))
    await access_keys.set_addresses(
        server.services.store, server.key.access_key, ["192.0.2.7", "10.0.0.9"]
    )
    sent = [*server.headers(), ("x-forwarded-for", "198.51.100.1, 192.0.2.7")]
    assert await server.code(headers=sent, address="10.0.0.1") == 0
    assert await server.code(headers=sent, address="198.51.100.9") == 1005
    made_up = [*server.headers(), ("x-forwarded-for", "192.0.2.7, 198.51.100.1")]
    assert await server.code(headers=made_up, address="10.0.0.1") == 1005
    assert await server.code(address="10.0.0.1") == 1005
    assert await server.code(address="10.0.0.9") == 0


async def test_key_with_actions_is_refused_others_before_their_body(server: Server) -> None:
    store, access_key = server.services.store, server.key.access_key
    await access_keys.set_actions(store, access_key, ["getLimits", "createGroup"])
    refused = envelope_of(await server.send("listGroup", b"no JSON"))
    assert refused["code"] == 1005
    assert refused["msg"].endswith(": the accessKey may only use createGroup, getLimits")
    assert await server.code("getLimits", b"{}") == 0
    assert await server.code("createGroup", b'{"phones":"85211111114"}') == 0
    assert await server.code("unknown", b"{}") == 1002
    await access_keys.set_actions(store, access_key, None)
    assert await server.code() == 0


async def test_read_only_key_with_actions_may_do_what_both_allow(server: Server) -> None:
    key = await access_keys.create(
        server.services.store,
        server.secret_box,
        server.clock,
        "cus_1",
        read_only=True,
        allowed_actions=["createGroup", "getLimits"],
    )
    assert await server.code("getLimits", b"{}", key=key) == 0
    assert await server.code(key=key) == 1005
    refused = envelope_of(await server.send("createGroup", b"{}", key=key))
    assert refused["msg"].endswith(": the accessKey may only read")


async def test_cached_page_is_refused_to_a_key_without_the_action(server: Server) -> None:
    assert await server.code() == 0
    await access_keys.set_actions(server.services.store, server.key.access_key, ["getLimits"])
    assert await server.code() == 1005


async def test_write_with_a_used_nonce_is_carried_out_once(server: Server) -> None:
    body = b'{"phones":"85211111114"}'
    sent = server.hmac_headers("createGroup", body)
    first, second = [envelope_of(await server.send(headers=sent, body=body)) for _ in range(2)]
    assert first["groupId"] == second["groupId"]
    assert first["requestId"] != second["requestId"]
    server.clock.now_ms += 1
    later = server.hmac_headers("createGroup", body)
    assert envelope_of(await server.send(headers=later, body=body))["groupId"] == first["groupId"]
    other = b'{"phones":"85211111115"}'
    sent = server.hmac_headers("createGroup", other)
    assert await server.code(headers=sent, body=other) == 19013
    for _ in range(2):  # a read does not count
        assert await server.code(headers=server.hmac_headers()) == 0
