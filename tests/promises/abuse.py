"""Requests of every kind, good and bad, whose secrets and phones must not leak."""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote

from tests import direct
from tests.leaks import Leaks
from tests.processes import KEY_OF, MASTER_KEY, signed

PASSWORD = "pass-word-of-the-database"
NUMBERS = ("8613912345671", "8613912345682", "85298765432", "4917612345678")
NAME = "a-name-that-nobody-logs"
PHONES = ",".join(NUMBERS)
CREATE = {"phones": PHONES, "groupName": NAME, "remark": f"{NAME}-remark"}
REFUSED_BY_SQLITE = """
CREATE TRIGGER refuse BEFORE INSERT ON group_member
BEGIN SELECT RAISE(ABORT, 'no {0}: 8613912345671'); END
"""
REFUSED_BY_POSTGRESQL = """
ALTER TABLE group_member ADD CONSTRAINT refuse CHECK (phone <> '8613912345671') NOT VALID
"""
ALLOWED_AGAIN = {
    "sqlite": "DROP TRIGGER refuse",
    "postgres": "ALTER TABLE group_member DROP CONSTRAINT refuse",
}
HOLD = "UPDATE customer_state SET groups_revision = groups_revision"


def all_marks() -> Leaks:
    """Return a search for every secret and phone that these requests use."""
    leaks = Leaks(master_key=MASTER_KEY, database_password=PASSWORD, name=NAME)
    for customer, (_, secret) in KEY_OF.items():
        leaks.mark(f"secret of {customer}", secret)
    for number in NUMBERS:
        leaks.mark("phone number", number)
    return leaks


def with_password(url: str) -> str:
    """Return the URL of a database, with a password if it is PostgreSQL."""
    return url.replace("postgres:@", f"postgres:{PASSWORD}@")


class Abuse:
    """Sends requests to a server, and searches every error response.

    Args:
        url: The server's database.
        leaks: What must not be found; every signature is added.
    """

    def __init__(self, port: int, url: str, leaks: Leaks) -> None:
        self.codes: set[int] = set()
        self._port = port
        self._url = url
        self._engine = "sqlite" if url.startswith("sqlite") else "postgres"
        self._leaks = leaks

    def run(self) -> None:
        """Send all requests."""
        group = self._post("createGroup", CREATE)["groupId"]
        for operation in range(3):
            change = {"groupId": group, "operateType": operation, "phones": PHONES}
            self._post("updateGroup", change)
        self._post("listGroup", {"limit": 10, "offset": 0})
        self._in_wrong_places(group)
        self._aborted()
        asyncio.run(self._storage_errors())
        self._post("deleteGroup", {"groupId": group})

    def _in_wrong_places(self, group: str) -> None:
        secret, number = KEY_OF["cus_1"][1], NUMBERS[0]
        text = json.dumps(CREATE).encode()
        good = signed("cus_1", "createGroup", text)
        wrong: list[dict[str, str]] = [
            {"sign": "0" * 32},
            {"sign": secret},
            {"accessKey": secret},
            {"accessKey": number},
            {"accessKey": MASTER_KEY},
            {"ts": number},
            {"ts": f"{number}x"},
            {"bizType": number},
            {"algorithm": secret},
            {"action": number},
        ]
        for headers in wrong:
            self._send(good | headers, text)
        self._send({name: value for name, value in good.items() if name != "ts"}, text)
        self._post(number, CREATE)
        self._post(secret, CREATE)
        for fields in (
            {"phones": f"{PHONES},12345678901234567890"},
            {"phones": [*NUMBERS]},
            {"phones": int(number)},
            {"phones": PHONES, "groupName": number * 20},
            {"phones": PHONES, "remark": f"{number}\n"},
            {"phones": PHONES, "clientToken": number * 10},
        ):
            self._post("createGroup", fields)
        for body in ({"groupId": number}, {"groupId": secret}, {"groupId": [number]}):
            self._post("deleteGroup", body)
        change = {"groupId": group, "operateType": int(number), "phones": PHONES}
        self._post("updateGroup", change)
        self._post("listGroup", {"limit": int(number), "offset": 0})
        self._post("listGroup", {"limit": number, "offset": secret})
        self._post("listGroup", {"limit": 10, "offset": 0, "phone": number})
        self._post("listGroup", {"limit": 10, "offset": 0, "phone": f"{number}{number}"})
        self._post("listGroup", {"limit": 10, "after": number})
        self._post("getGroup", {"groupId": number})
        self._post("listGroupPhones", {"groupId": group, "limit": 1, "offset": number})
        for raw in (f'{{"phones":"{number}', number, f'{{"phones":"{number}\udcff"}}'):
            self._post_raw("createGroup", raw.encode("utf-8", "surrogateescape"))
        for path in (f"/api/pns/{number}", f"/{quote(secret)}?phones={number}"):
            self._send(good, text, path=path)
        self._send(good, text, method="PUT")

    def _aborted(self) -> None:
        """Close the connection in the middle of a body, and before the response."""
        text = json.dumps(CREATE).encode()
        head = "".join(
            f"{name}: {value}\r\n" for name, value in signed("cus_1", "createGroup", text).items()
        )
        length = f"Content-Length: {len(text)}\r\n"
        request = f"POST /api/pns/ HTTP/1.1\r\nHost: a\r\n{length}{head}\r\n".encode() + text
        for sent in (request[:-20], request, request[:-40] + b"\r\n\r\n" + request):
            with socket.create_connection(("127.0.0.1", self._port)) as connection:
                connection.sendall(sent)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async def _storage_errors(self) -> None:
        """Let the database refuse rows with errors that quote them, and let it block."""
        refused = {"sqlite": REFUSED_BY_SQLITE.format(NAME), "postgres": REFUSED_BY_POSTGRESQL}
        await direct.run(self._url, refused[self._engine])
        # Several at once: on PostgreSQL they would share a transaction.
        bodies = [CREATE | {"remark": f"{place}"} for place in range(4)]
        sending = [asyncio.to_thread(self._post, "createGroup", body) for body in bodies]
        answers = await asyncio.gather(*sending)
        assert {answer["code"] for answer in answers} == {19005}
        await direct.run(self._url, ALLOWED_AGAIN[self._engine])
        await direct.run(self._url, "ALTER TABLE group_phone_chunk RENAME TO moved")
        many = ",".join(str(8613912340000 + place) for place in range(200))
        answer = await asyncio.to_thread(self._post, "createGroup", {"phones": many})
        assert answer["code"] == 19005
        await direct.run(self._url, "ALTER TABLE moved RENAME TO group_phone_chunk")
        async with direct.holding(self._url, HOLD):
            answer = await asyncio.to_thread(self._post, "createGroup", CREATE)
        assert answer["code"] == 19004

    def _post(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._post_raw(action, json.dumps(body, ensure_ascii=False).encode())

    def _post_raw(self, action: str, text: bytes) -> dict[str, Any]:
        return self._send(signed("cus_1", action, text), text)

    def _send(
        self, headers: dict[str, str], text: bytes, path: str = "/api/pns/", method: str = "POST"
    ) -> dict[str, Any]:
        self._mark_signature(headers["sign"])
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, text, headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        self.codes.add(answer["code"])
        if answer["code"]:
            self._leaks.require_none("a response", json.dumps(answer))
        return answer

    def _mark_signature(self, signature: str) -> None:
        if signature.strip("0"):
            self._leaks.mark("signature or secret", signature)


Search = Callable[[str, str], None]
"""Searches a text; the first argument says where it is from."""
