"""Plain callers of an emulator: http.client, and nothing of openpns but the signature."""

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.helpers import signed_headers

from openpns.accounts.access_keys import NewSecret
from openpns.testing import Emulator

LIST = {"limit": 0, "offset": 0}
CREATE = {"phones": "85211111114,8613800138000", "groupName": "groupA"}


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    envelope: dict[str, Any]

    @property
    def code(self) -> int:
        code: int = self.envelope["code"]
        return code


class Caller:
    """Calls an emulator over one connection that is kept open."""

    def __init__(self, pns: Emulator) -> None:
        self.pns = pns
        address = pns.base_url.removeprefix("http://")
        self.connection = http.client.HTTPConnection(address, timeout=10)

    def __call__(
        self, action: str, body: dict[str, Any], key: NewSecret | None = None, ts: int | None = None
    ) -> Answer:
        text = json.dumps(body).encode()
        key = key or NewSecret(self.pns.access_key, self.pns.access_secret, "")
        headers = signed_headers(key, action, text, self.pns.clock() if ts is None else ts)
        return self.send("POST", "/api/pns/", text, dict(headers))

    def send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, json.loads(response.read()))
        except BaseException:
            self.connection.close()
            raise


@pytest.fixture
def new_caller() -> Iterator[Callable[[Emulator], Caller]]:
    made: list[Caller] = []

    def make(pns: Emulator) -> Caller:
        made.append(Caller(pns))
        return made[-1]

    yield make
    for caller in made:
        caller.connection.close()


@pytest.fixture
def call(pns_server: Emulator, new_caller: Callable[[Emulator], Caller]) -> Caller:
    return new_caller(pns_server)
