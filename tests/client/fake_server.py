"""An exchange without a network: given responses, and a record of what was sent."""

import json
from collections.abc import Sequence
from typing import Any

from openpns.client.account_requests import get_limits
from openpns.client.answers import Response
from openpns.client.config import ClientConfig, Secret
from openpns.client.exchange import Exchanger, Send, Wait
from openpns.client.group_requests import add_phones, create_group, list_groups
from openpns.client.requests import RawRequest, Request
from openpns.errors import ConnectionLost, OpenPNSError

ACCESS_KEY = "sixgqophrnv4"
SECRET = "abciiiko2k3"
PHONE = "85211111114"
URL = "https://pns.test/api/pns/"
DATE = "Thu, 08 Dec 2022 06:07:12 GMT"
DATE_MS = 1_670_479_632_000
OK = {"code": 0, "msg": "success", "requestId": "1602262837283131392"}


def make_config(**settings: Any) -> ClientConfig:
    given = {"url": URL, "access_key": ACCESS_KEY, "access_secret": Secret(SECRET)}
    return ClientConfig(**(given | settings))


def reply(
    code: int | None = 0, status: int = 200, headers: dict[str, str] | None = None, **fields: Any
) -> Response:
    """A response of the API; the page of a proxy if the code is None."""
    if code is None:
        return Response(status, headers or {}, b"<html>Bad gateway</html>")
    envelope = {**OK, "code": code, "msg": f"msg of {code}"} if code else OK
    return Response(status, headers or {}, json.dumps(envelope | fields).encode())


LIMITS = reply(data={"limits": [{"name": "groups", "max": None, "used": 0}]})
"""The response to getLimits, which shows that the server is openpns."""


class Clock:
    """A clock that advances by 1 ms each time it is read."""

    def __init__(self, now_ms: int = DATE_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms


class Run:
    """One request with given responses; `sent`, `waited_s`, and `result` or `error`."""

    def __init__(
        self,
        exchanger: Exchanger,
        request: Request[Any],
        responses: Sequence[Response | OpenPNSError],
    ) -> None:
        self.sent: list[Send] = []
        self.waited_s: list[float] = []
        self.result: Any = None
        self.error: OpenPNSError | None = None
        left = list(responses)
        steps = exchanger.exchange(request)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Wait):
                    self.waited_s.append(step.seconds)
                    step = steps.send(None)
                    continue
                self.sent.append(step)
                answer = left.pop(0)
                step = steps.send(answer) if isinstance(answer, Response) else steps.throw(answer)
        except StopIteration as stop:
            self.result = stop.value
        except OpenPNSError as error:
            self.error = error
        assert left == []

    @property
    def actions(self) -> list[str]:
        return [send.headers["action"] for send in self.sent]


READ = list_groups()
WRITE = add_phones("b8c2", PHONE)
CREATE = create_group(PHONE)
RAW = RawRequest("newAction", {"phones": PHONE})
PAGE = reply(data={"groups": [], "total": 0})
CREATED = reply(groupId="b8c2")


def make_exchanger(retries: int = 2, now_ms: int = DATE_MS, **settings: Any) -> Exchanger:
    return Exchanger(make_config(retries=retries, **settings), Clock(now_ms), lambda: 0.5)


def make_informed(**settings: Any) -> Exchanger:
    """An exchanger that knows that the server is openpns."""
    exchanger = make_exchanger(**settings)
    assert Run(exchanger, get_limits(), [LIMITS]).error is None
    return exchanger


def good(request: Request[Any]) -> Response:
    return PAGE if request is READ else CREATED


def lost() -> ConnectionLost:
    return ConnectionLost("createGroup", "reset")
