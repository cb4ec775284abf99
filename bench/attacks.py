"""Every kind of attack: what one client sends to take the service from others.

The benchmark measures how much longer others wait during each; the tests of floods, connections
and memory send them as well. `attacker` is the process that sends them.

Source: docs/security.md, "What each can take at most".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from openpns.clock import now_ms
from openpns.protocol import signing

CONNECTIONS = 32
PHONES = ",".join(str(8613800000000 + number) for number in range(10_000))

_BODY_BYTES = 1_000_000
_STALE_MS = 3_600_000


@dataclass(frozen=True)
class Requests:
    """Requests on connections that each send the next one when they have an answer.

    Attributes:
        action: The action.
        body: The body. {n} becomes a new number for each request, so that no response comes from
            a cache; {group} and {did} a group and a virtual number of the attacker.
        fault: What is wrong: `sign` (the signature), `key` (each time another unknown access key)
            or `ts` (it is an hour old); empty for nothing.
        connections: How many.
    """

    action: str
    body: dict[str, Any]
    fault: str = ""
    connections: int = CONNECTIONS


REQUESTS: dict[str, Requests] = {
    "small page": Requests("listGroup", {"limit": 1, "offset": 0}),
    "small page, 800 connections": Requests(
        "listGroup", {"limit": 1, "offset": 0}, connections=800
    ),
    "large page": Requests("listGroup", {"limit": 1000, "offset": 0, "x": "{n}"}),
    "deep page": Requests("listGroup", {"limit": 10, "offset": 90, "x": "{n}"}),
    "pages that fill the cache": Requests("listGroup", {"limit": 100, "offset": 0, "x": "{n}"}),
    "broad search": Requests("listGroup", {"limit": 10, "offset": 0, "groupName": "g", "x": "{n}"}),
    "search by phone": Requests("listGroup", {"limit": 10, "offset": 0, "phone": "8613800000001"}),
    "group": Requests("getGroup", {"groupId": "{group}"}),
    "phones of a group": Requests(
        "listGroupPhones", {"groupId": "{group}", "limit": 0, "offset": 0}
    ),
    "limits": Requests("getLimits", {}),
    "small create": Requests("createGroup", {"phones": "85211111114"}),
    "small create, 800 connections": Requests(
        "createGroup", {"phones": "85211111114"}, connections=800
    ),
    "create with a client token": Requests(
        "createGroup", {"phones": "85211111114", "clientToken": "token-{n}"}
    ),
    "repeated client token": Requests(
        "createGroup", {"phones": "85211111114", "clientToken": "always the same"}
    ),
    "client token of another body": Requests(
        "createGroup", {"phones": "852{n}", "clientToken": "always the same"}
    ),
    "large create": Requests("createGroup", {"phones": PHONES}),
    "small change": Requests(
        "updateGroup", {"groupId": "{group}", "operateType": 1, "phones": "861380000{n}"}
    ),
    "large change": Requests(
        "updateGroup", {"groupId": "{group}", "operateType": 2, "phones": PHONES}
    ),
    "large dry run": Requests(
        "updateGroup", {"groupId": "{group}", "operateType": 1, "phones": PHONES, "dryRun": True}
    ),
    "change of no group": Requests(
        "updateGroup", {"groupId": "0" * 32, "operateType": 1, "phones": "8613800000001"}
    ),
    "delete": Requests("deleteGroup", {"groupId": "0" * 32}),
    "virtual numbers": Requests("listNumbers", {"limit": 0}),
    "bind": Requests(
        "bindAXB", {"phoneA": "861370000{n}", "phoneB": "861360000{n}", "expireSecond": 60}
    ),
    "bind of two phones on all numbers": Requests(
        "bindAXB", {"phoneA": "8613500000005", "phoneB": "8613500000006", "expireSecond": 0}
    ),
    "bind with a customerBindId in use": Requests(
        "bindAXB",
        {
            "phoneA": "861351000{n}",
            "phoneB": "861352000{n}",
            "expireSecond": 0,
            "customerBindId": "order 1",
        },
    ),
    "bind in another country": Requests(
        "bindAXB", {"phoneA": "85211111114", "phoneB": "85211111115", "expireSecond": 0}
    ),
    "bind to digits": Requests(
        "bindAXBExtension",
        {"phoneA": "8613500000000", "phoneX": "{did}", "extension": "123", "expireSecond": 0},
    ),
    "bind to digits with a client token": Requests(
        "bindAXBExtension",
        {
            "phoneA": "8613500000000",
            "phoneX": "{did}",
            "extension": "123",
            "expireSecond": 0,
            "clientToken": "token-{n}",
        },
    ),
    "bind a group": Requests(
        "bindAXG", {"phoneA": "861340000{n}", "groupId": "{group}", "expireSecond": 1}
    ),
    "unbind": Requests("unbindAXB", {"bindId": "0" * 32}),
    "change a binding": Requests("updateBinding", {"bindId": "0" * 32, "flag": 1}),
    "large page of bindings": Requests("getAXBList", {"limit": 1000, "offset": 0}),
    "bindings by phone": Requests(
        "getAXBList", {"limit": 10, "offset": 0, "phone": "8613800000001"}
    ),
    "binding": Requests("getBinding", {"customerBindId": "order 1"}),
    "question": Requests("queryAXB", {"caller": "8613500000000", "did": "{did}"}),
    "questions of strangers": Requests("queryAXB", {"caller": "861330000{n}", "did": "{did}"}),
    "question with digits": Requests(
        "queryAXB", {"caller": "8613500000001", "did": "{did}", "extension": "999"}
    ),
    "wrong digits of strangers": Requests(
        "queryAXB", {"caller": "861330000{n}", "did": "{did}", "extension": "999"}
    ),
    "explanation": Requests("explainCall", {"caller": "861370000{n}", "did": "{did}"}),
    "report of a call": Requests(
        "reportCall",
        {
            "callId": "{n}",
            "startAt": 1,
            "hangupAt": 2,
            "caller": "8613500000000",
            "did": "{did}",
            "bindId": "0" * 32,
        },
    ),
    "large page of records": Requests("listCallRecords", {"limit": 1000}),
    "records by phone and number": Requests(
        "listCallRecords", {"limit": 1000, "phone": "8613500000000", "did": "{did}"}
    ),
    "record of a call": Requests("getCallRecord", {"callId": "1"}),
    "webhook": Requests("getWebhook", {}),
    "large page of deliveries": Requests("listDeliveries", {"limit": 1000}),
    "resend": Requests("resendDelivery", {"since": 0}),
    "unknown action": Requests("noSuchAction", {}),
    "bad field": Requests("listGroup", {"limit": -1, "offset": 0}),
    "wrong signature": Requests("listGroup", {"limit": 1, "offset": 0}, "sign"),
    "wrong signature, large body": Requests("createGroup", {"phones": PHONES}, "sign"),
    "stale timestamp": Requests("listGroup", {"limit": 1, "offset": 0}, "ts"),
    "unknown keys": Requests("listGroup", {"limit": 1, "offset": 0}, "key"),
}
"""Every action, small and large, good and bad."""


class Sign(Protocol):
    """Makes a signed request of the attacker; `length` is announced instead of the body's own."""

    def __call__(self, body: bytes, action: str = "listGroup", length: int | None = None) -> bytes:
        """Return the bytes of the request."""


@dataclass(frozen=True)
class Held:
    """Connections that are opened one after the other and held, and whose client reads nothing.

    Attributes:
        sent: Makes what a connection sends, from its number.
        is_admin: Whether they are connections to the admin port.
    """

    sent: Callable[[int, Sign], bytes]
    is_admin: bool = False


def _many(name: bytes) -> bytes:
    return b"".join(b"%b%d: %b\r\n" % (name, place, b"v" * 500) for place in range(98))


HELD: dict[str, Held] = {
    "silent connections": Held(lambda *_: b""),
    "silent connections to the admin port": Held(lambda *_: b"", is_admin=True),
    "unfinished headers": Held(lambda *_: b"POST /api/pns/ HTTP/1.1\r\nX: "),
    "a header that does not end": Held(lambda *_: b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000),
    "many headers": Held(lambda *_: b"GET / HTTP/1.1\r\n" + _many(b"h")),
    "trailers": Held(
        lambda *_: b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + _many(b"t")
    ),
    "announced bodies of strangers": Held(
        lambda *_: b"POST /api/pns/ HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n"
    ),
    "announced bodies": Held(lambda _, sign: sign(b"", "createGroup", 1_048_576)),
    "bodies that do not end": Held(lambda _, sign: sign(b"x" * 60_000, "createGroup", _BODY_BYTES)),
    "pipelined requests": Held(lambda *_: b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 2500),
    "unread responses": Held(lambda *_: b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 400),
    "unread pages": Held(lambda place, sign: sign(b'{"limit":1000,"offset":0,"place":%d}' % place)),
    "long unknown keys": Held(
        lambda place, sign: sign(b"{}").replace(
            b"accessKey: ", b"accessKey: " + b"k" * 50_000 + b"%d" % place
        )
    ),
}
"""Silence, promises, and responses that nobody reads."""


def signed_request(
    access_key: str,
    secret: str,
    action: str,
    body: bytes,
    length: int | None = None,
    ts: int | None = None,
) -> bytes:
    """Return the bytes of a request that is signed now.

    Args:
        length: The announced length of the body; None for its own.
        ts: When it is signed, in ms since 1970; None for now.
    """
    sent = str(now_ms() if ts is None else ts)
    sign = signing.sign(access_key, action, "5", sent, body, secret)
    head = (
        f"POST /api/pns/ HTTP/1.1\r\nHost: x\r\naccessKey: {access_key}\r\naction: {action}\r\n"
        f"bizType: 5\r\nts: {sent}\r\nsign: {sign}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


def faulty_request(
    fault: str, access_key: str, secret: str, action: str, body: bytes, number: int
) -> bytes:
    """Return a request with a fault of `Requests`; `number` makes an unknown key another one."""
    if fault == "ts":
        return signed_request(access_key, secret, action, body, ts=now_ms() - _STALE_MS)
    if fault == "key":
        return signed_request(f"no-such-key-{number}", secret, action, body)
    return signed_request(access_key, f"not-{secret}" if fault else secret, action, body)
