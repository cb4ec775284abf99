"""Nobody holds the server by its connections: not with silence, promises or unread responses.

Each attack runs while another customer sends requests, which must all be answered.

Source: docs/security.md; docs/operating/serving.md, "Connections".
"""

import json
import socket

from bench.attacks import HELD
from tests.helpers import on_sqlite_only
from tests.processes import Start
from tests.promises.attacker import Attack, bystander, request

pytestmark = on_sqlite_only

CONNECTIONS_MAX = 64


def test_silent_connections_give_way(serve: Start, attack: Attack) -> None:
    server = serve("--connections-max", str(CONNECTIONS_MAX))
    attacker = attack(server)
    with bystander(server):
        for kind in ("silent connections", "unfinished headers") * CONNECTIONS_MAX:
            attacker.hold(HELD[kind].sent(0, request))
    assert server.stop() == 0


def test_unread_responses_do_not_hold_connections(serve: Start, attack: Attack) -> None:
    server = serve("--connections-max", str(CONNECTIONS_MAX), "--send-timeout-ms", "500")
    attacker = attack(server)
    with bystander(server):
        for _ in range(3 * CONNECTIONS_MAX // 2):
            attacker.hold(HELD["unread responses"].sent(0, request))
    assert server.stop() == 0


def test_promises_of_bodies_hold_nothing(serve: Start, attack: Attack) -> None:
    server = serve("--receive-buffer-bytes-max", str(2**20))
    attacker = attack(server)
    with bystander(server):
        for _ in range(50):
            for kind in ("announced bodies of strangers", "announced bodies"):
                attacker.hold(HELD[kind].sent(0, request))
        phones = ",".join(str(8613800000000 + number) for number in range(1300))
        assert len(phones) > 18_000
        assert server.call("createGroup", {"phones": phones}, "cus_2")["code"] == 0
    assert server.stop() == 0


def test_large_body_of_an_unknown_key_is_refused_before_it_is_read(serve: Start) -> None:
    server = serve()
    body = b'{"phones":"' + b"8" * 900_000 + b'"}'
    sent = request(body, "createGroup").replace(b"key-of-cus-1", b"key-of-nobody")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent[:2000])
        answer = connection.recv(65536)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 1005
    assert server.stop() == 0
