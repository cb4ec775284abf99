"""What the operator relies on: hung workers, secrets in processes, the size of the log."""

import contextlib
import http.client
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import MASTER_KEY, Process, Start, signed
from tests.promises.wire import Bystander

pytestmark = on_sqlite_only

# A log line of a failed request has about 250 bytes.
FLOOD = 3000
LINE_BYTES_MAX = 400
OK_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def admin_get(server: Process, path: str) -> tuple[int, str]:
    admin = int(server.wait_for(r":([0-9]+)/healthz")[1])
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def is_open(connection: socket.socket) -> bool:
    """Return whether the other side has not closed a connection; it may have sent something."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def wait_for_readyz(server: Process, status: int) -> str:
    for _ in range(300):
        found, body = admin_get(server, "/readyz")
        if found == status:
            return body
        time.sleep(0.05)
    raise AssertionError(f"/readyz never returned {status}")


def test_stopped_worker_is_replaced_and_the_server_not_ready_meanwhile(serve: Start) -> None:
    server = serve(
        *("--admin-port", "0", "--worker-timeout-ms", "2000", "--readiness-timeout-ms", "300")
    )
    wait_for_readyz(server, 200)
    (stopped,) = server.workers(1)
    os.kill(stopped, signal.SIGSTOP)
    assert wait_for_readyz(server, 503) == "not ready: API port: no answer within 300 ms\n"
    assert admin_get(server, "/healthz")[0] == 200
    server.wait_for("worker killed: its event loop hangs")
    server.wait_until_replaced(stopped, 1)
    wait_for_readyz(server, 200)
    assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert server.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_write_no_core_and_workers_have_no_secret_in_their_environment(
    start: Start, served_url: str
) -> None:
    server = start("serve", "--port", "0", OPENPNS_DATABASE=served_url)
    (worker,) = server.workers(1)
    for pid in (server.process.pid, worker):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
    try:
        environ = Path(f"/proc/{worker}/environ").read_bytes()
    except PermissionError:  # its memory is not for other programs of this user
        assert os.getuid() != 0
    else:
        assert b"PATH=" in environ
        assert MASTER_KEY.encode() not in environ
        assert b"OPENPNS_DATABASE" not in environ
    assert server.stop() == 0


def test_flood_of_refused_requests_does_not_fill_the_log_nor_hide_other_keys(serve: Start) -> None:
    server = serve("--admin-port", "0", "--log-lines-per-key-per-s-max", "2")
    before = server.log.stat().st_size
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        body = b'{"limit":-1,"offset":0}'
        for action in ("listGroup", "noSuchAction"):
            headers = "".join(
                f"{name}: {value}\r\n" for name, value in signed("cus_1", action, body).items()
            )
            head = f"POST /api/pns/ HTTP/1.1\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
            answered = 0
            for _ in range(FLOOD // 100):
                connection.sendall((head.encode() + body) * 100)
                while answered < 100:
                    answered += connection.recv(65536).count(b"HTTP/1.1 ")
                answered -= 100
    assert server.call("deleteGroup", {"groupId": "0" * 32}, "cus_2")["code"] == 19001
    seconds = time.monotonic() - began_s + 1
    server.wait_for("request lines omitted")
    text = server.log.read_text("utf-8")[before:]
    assert "key-of-cus-2" in text
    assert len(text) < LINE_BYTES_MAX * (seconds * 3 + 10)
    metrics = admin_get(server, "/metrics")[1]
    (omitted,) = re.findall(r"^openpns_log_lines_omitted_total ([0-9.]+)$", metrics, re.M)
    assert float(omitted) > FLOOD
    assert server.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, needs a second loopback address")
def test_slow_and_reset_connections_to_the_admin_port_take_little_and_log_nothing(
    serve: Start,
) -> None:
    server = serve("--admin-port", "0", "--admin-connections-max", "16", "--log-format", "json")
    admin = int(server.wait_for(r":([0-9]+)/healthz")[1])
    threads = len([*Path(f"/proc/{server.process.pid}/task").iterdir()])
    before = server.log.stat().st_size
    with contextlib.ExitStack() as stack, Bystander(server) as bystander:
        held = []
        # Half of them have been answered once: they count as used, and send slowly from then on.
        for sent in [b"GET /healthz HTTP/1.1\r\nX: ", OK_REQUEST + b"GET /h"] * 100:
            connection = stack.enter_context(socket.socket())
            connection.bind(("127.0.0.2", 0))
            connection.connect(("127.0.0.1", admin))
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
            held.append(connection)
        for connection in held[::3]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        assert admin_get(server, "/healthz")[0] == 200
        assert sum(is_open(one) for one in held if one.fileno() >= 0) <= 16 // 2
        assert admin_get(server, "/readyz")[0] == 200
        metrics = admin_get(server, "/metrics")[1]
        assert server.call("listGroup", {"limit": 1, "offset": 0}, "cus_2")["code"] == 0
    assert bystander.error is None
    assert set(bystander.codes) == {0}
    (open_now,) = re.findall(r"^openpns_admin_connections ([0-9.]+)$", metrics, re.M)
    assert float(open_now) <= 16 // 2 + 2  # of the slow address, of this test
    # The check of the database has a thread of its own.
    assert len([*Path(f"/proc/{server.process.pid}/task").iterdir()]) <= threads + 4
    assert server.log.read_text("utf-8")[before:] == ""
    assert server.stop() == 0
