"""Clients of an emulator that use http.client; of openpns only the signature."""

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


class PlainClient:
    """Sends requests to an emulator over one connection, which it keeps open."""

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
        return self.send_raw("POST", "/api/pns/", text, dict(headers))

    def send_raw(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, json.loads(response.read()))
        except BaseException:
            self.connection.close()
            raise


@pytest.fixture
def new_client() -> Iterator[Callable[[Emulator], PlainClient]]:
    made: list[PlainClient] = []

    def make(pns: Emulator) -> PlainClient:
        made.append(PlainClient(pns))
        return made[-1]

    yield make
    for client in made:
        client.connection.close()


@pytest.fixture
def send(pns_server: Emulator, new_client: Callable[[Emulator], PlainClient]) -> PlainClient:
    return new_client(pns_server)
