"""`openpns serve` as real processes: stopping, workers, settings, isolation, load."""

import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
from tests.acceptance.conftest import Process, Start, run_openpns
from tests.certificates import write_certificate
from tests.helpers import on_sqlite_only
from tests.processes import MASTER_KEY, free_port, signed

from openpns.accounts import access_keys, customers
from openpns.clock import now_ms
from openpns.storage import connect
from openpns.storage.store import database_path

PHONES = "85211111114,85235753351"


def test_two_workers_keep_every_acknowledged_write(serve: Start) -> None:
    server = serve("--workers", "2")
    server.workers(2)

    def work(number: int) -> list[str]:
        """Send four requests on one connection; return the group that must remain, if any."""
        connection = server.connect()
        made = server.call("createGroup", {"phones": f"8521000{number:04d}"}, "cus_1", connection)
        assert made["code"] == 0
        group = {"groupId": made["groupId"]}
        added = server.call(
            "updateGroup", group | {"operateType": 0, "phones": PHONES}, "cus_1", connection
        )
        assert added["code"] == 0
        page = server.call("listGroup", {"limit": 0, "offset": 0}, "cus_1", connection)
        mine = [g for g in page["data"]["groups"] if g["groupId"] == made["groupId"]]
        assert [g["phones"] for g in mine] == [f"8521000{number:04d},{PHONES}"]
        left = [made["groupId"]]
        if number % 2:
            assert server.call("deleteGroup", group, "cus_1", connection)["code"] == 0
            left = []
        connection.close()
        return left

    with ThreadPoolExecutor(50) as pool:
        left = [group for groups in pool.map(work, range(50)) for group in groups]
    page = server.call("listGroup", {"limit": 0, "offset": 0})["data"]
    assert page["total"] == len(left) == len(page["groups"]) == 25
    assert {group["groupId"] for group in page["groups"]} == set(left)
    assert server.stop() == 0


def test_customers_cannot_see_or_change_each_others_groups(serve: Start) -> None:
    server = serve()
    group = {"groupId": server.call("createGroup", {"phones": PHONES})["groupId"]}
    change = group | {"operateType": 2, "phones": "8613800138000"}
    absent = {"groupId": "0" * 32}

    def answer(action: str, body: dict[str, Any]) -> tuple[int, str]:
        reply = server.call(action, body, "cus_2")
        return reply["code"], reply["msg"]

    assert answer("updateGroup", change) == answer("updateGroup", change | absent)
    assert answer("deleteGroup", group) == answer("deleteGroup", absent)
    assert answer("deleteGroup", group)[0] == 19001
    theirs = server.call("listGroup", {"limit": 0, "offset": 0}, "cus_2")["data"]
    assert theirs == {"groups": [], "total": 0}
    ours = server.call("listGroup", {"limit": 0, "offset": 0})["data"]
    assert [g["phones"] for g in ours["groups"]] == [PHONES]


async def test_every_worker_refuses_a_disabled_key_or_customer_at_once(
    serve: Start, served_url: str
) -> None:
    server = serve("--workers", "2")
    store = await connect.open_store(served_url)
    connections = [server.connect() for _ in range(8)]  # spread over both workers
    page = {"limit": 1, "offset": 0}

    def codes() -> set[int]:
        return {server.call("listGroup", page, "cus_1", c)["code"] for c in connections}

    for disable in (
        lambda now: access_keys.disable(store, "key-of-cus-1", now),
        lambda now: customers.disable(store, "cus_1", now),
    ):
        assert codes() == {0}
        await disable(now_ms())
        assert codes() == {1005}
        await disable(None)
    assert codes() == {0}
    for connection in connections:
        connection.close()
    await store.close()


async def test_request_in_flight_is_answered_when_the_server_stops(
    serve: Start, served_url: str
) -> None:
    server = serve()
    group = server.call("createGroup", {"phones": PHONES})["groupId"]
    answers: list[dict[str, Any]] = []
    change = {"groupId": group, "operateType": 1, "phones": "85235753351"}
    client = threading.Thread(target=lambda: answers.append(server.call("updateGroup", change)))
    release = await _hold_writes(served_url)
    client.start()
    time.sleep(0.5)  # by now the request waits for the database
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert server.process.poll() is None
    await release()
    client.join(30)
    assert [answer["code"] for answer in answers] == [0]
    assert server.wait() == 0


async def _hold_writes(url: str) -> Any:
    """Block writes to the database; return a function that unblocks them."""
    path = database_path(url)
    if path is not None:
        connection = apsw.Connection(path)
        connection.execute("BEGIN IMMEDIATE")

        async def end_sqlite() -> None:
            connection.execute("ROLLBACK")
            connection.close()

        return end_sqlite
    postgres = await asyncpg.connect(url)
    transaction = postgres.transaction()
    await transaction.start()
    await postgres.execute("LOCK TABLE number_group IN EXCLUSIVE MODE")

    async def end_postgres() -> None:
        await transaction.rollback()
        await postgres.close()

    return end_postgres


def test_ctrl_c_stops_the_server_with_exit_code_0(serve: Start) -> None:
    server = serve()
    # A terminal sends the signal to every process of the command.
    for worker in server.workers(1):
        os.kill(worker, signal.SIGINT)
    assert server.stop(signal.SIGINT) == 0
    log = server.log.read_text("utf-8")
    assert "stopped" in log
    assert "Unexpected exit" not in log


def test_killed_worker_is_replaced(serve: Start) -> None:
    server = serve("--workers", "2")
    killed = server.workers(2)[0]
    os.kill(killed, signal.SIGKILL)
    server.wait_until_replaced(killed, 2)
    server.wait_until_it_answers()
    assert server.call("createGroup", {"phones": PHONES})["code"] == 0
    assert server.stop() == 0


def test_workers_stop_after_their_parent_was_killed_and_leave_nothing(
    serve: Start, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    server = serve("--admin-port", "0", TMPDIR=str(temporary))
    (worker,) = server.workers(1)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
            os.kill(worker, 0)
        except (ConnectionRefusedError, ProcessLookupError):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("a worker still runs")
    assert [*temporary.iterdir()] == []


def test_settings_come_from_file_and_environ(start: Start, served_url: str, tmp_path: Path) -> None:
    config = tmp_path / "openpns.toml"
    config.touch(mode=0o600)
    config.write_text(
        f'database = "{served_url}"\nport = 1\nadmin_port = 0\nlog_format = "json"\n'
        "phones_in_group_max = 1\n"
    )
    server = start("serve", "--config", str(config), OPENPNS_PORT="0")
    assert server.call("createGroup", {"phones": PHONES})["code"] == 19002
    lines = [json.loads(line) for line in server.log.read_text("utf-8").splitlines()]
    failed = [line for line in lines if line["event"] == "request failed" and line["code"] == 19002]
    assert [line["action"] for line in failed] == ["createGroup"]
    assert "85211111114" not in server.log.read_text("utf-8")


def test_metrics_cover_all_workers(serve: Start) -> None:
    server = serve("--workers", "2", "--admin-port", "0")
    admin = int(server.wait_for(r":([0-9]+)/healthz")[1])
    for _ in range(20):
        assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert _get(admin, "/healthz") == "ok\n"
    assert _get(admin, "/readyz") == "ready\n"
    assert 'openpns_requests_total{action="listGroup",code="0"} 20.0' in _get(admin, "/metrics")


def _get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_serve_reports_why_it_cannot_start_in_one_line(
    serve: Start, served_url: str, tmp_path: Path
) -> None:
    server: Process = serve()
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    run_openpns("migrate", "--database", fresh)
    other_key = {"OPENPNS_MASTER_KEY": "ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}
    for arguments, environ, text in (
        (("--port", str(server.port)), {}, "another program listens there"),
        (("--port", "x"), {}, "port: 'x' (from --port) is not allowed"),
        (("--port", "0"), other_key, "OPENPNS_MASTER_KEY: not the master key"),
        (("--database", f"sqlite:///{tmp_path}/no.db"), {}, "does not exist"),
        (("--database", "mysql://a:b@c/d"), {}, "not a URL that openpns knows"),
        (("--host", "203.0.113.1"), {}, "this machine has no such address"),
        (("--port", "0", "--tls-cert", "cert.pem"), {}, "set both, or neither"),
        (_same_ports(), {}, "admin_port: must differ from port"),
    ):
        failed = run_openpns("serve", "--database", served_url, *arguments, **environ)
        assert failed.returncode == 2
        assert text in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def _same_ports() -> tuple[str, ...]:
    port = str(free_port())
    return ("--port", port, "--admin-port", port)


def test_bodies_that_do_not_arrive_time_out_and_block_nobody(serve: Start) -> None:
    server = serve("--requests-in-flight-max", "2", "--body-timeout-ms", "1500")
    waiting = []
    for _ in range(4):
        connection = server.connect()
        connection.putrequest("POST", "/api/pns/")
        connection.putheader("Content-Length", "10")
        connection.endheaders()
        waiting.append(connection)
    assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    for connection in waiting:
        answer = json.loads(connection.getresponse().read())
        assert answer["msg"] == "Parameter error: the body must arrive within 1500 ms"
        connection.close()
    assert server.stop() == 0


@on_sqlite_only
def test_worker_waits_for_an_unreachable_database(start: Start, served_url: str) -> None:
    path = str(database_path(served_url))
    server = start("serve", "--database", served_url, "--port", "0", "--workers", "2")
    killed = server.workers(2)[0]
    Path(path).rename(f"{path}.away")
    os.kill(killed, signal.SIGKILL)
    server.wait_for("worker waits to start")
    Path(f"{path}.away").rename(path)
    server.wait_until_replaced(killed, 2)
    server.wait_until_it_answers()
    for _ in range(8):
        assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert server.stop() == 0


def test_closed_terminal_stops_the_server(serve: Start) -> None:
    server = serve()
    assert server.stop(signal.SIGHUP) == 0


@on_sqlite_only
def test_nohup_protects_the_server_from_a_closed_terminal(serve: Start) -> None:
    server = serve(wrapper=["nohup"])
    server.process.send_signal(signal.SIGHUP)
    os.kill(server.workers(1)[0], signal.SIGHUP)
    for _ in range(5):
        time.sleep(0.05)
        assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert server.stop() == 0


@on_sqlite_only
@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_server_works_with_closed_standard_streams(
    served_url: str, tmp_path: Path, closed: str
) -> None:
    port = free_port()
    server = Process(
        ["serve", "--database", served_url, "--port", str(port)],
        tmp_path / "log",
        {"OPENPNS_MASTER_KEY": MASTER_KEY},
        wrapper=["sh", "-c", f'exec "$@" {closed}', "sh"],
    )
    server.port = port
    server.wait_until_it_answers()
    assert server.call("createGroup", {"phones": PHONES})["code"] == 0
    assert server.call("listGroup", {"limit": 1, "offset": 0})["data"]["total"] == 1
    assert server.stop() == 0


@on_sqlite_only
def test_workers_that_cannot_start_end_the_server(serve: Start) -> None:
    server = serve()
    (killed,) = server.workers(1)
    os.kill(killed, signal.SIGKILL)
    server.wait_until_replaced(killed, 1)
    os.kill(server.workers(1)[0], signal.SIGKILL)
    assert server.wait() == 1
    assert "workers cannot start" in server.log.read_text("utf-8")


@on_sqlite_only
def test_server_stops_in_time_whatever_its_clients_do(serve: Start) -> None:
    server = serve("--shutdown-grace-s", "1")
    for _ in range(20):
        page = {"phones": ",".join(str(8613800000000 + number) for number in range(1000))}
        assert server.call("createGroup", page)["code"] == 0
    text = b'{"limit":0,"offset":0}'
    headers = "".join(
        f"{name}: {value}\r\n" for name, value in signed("cus_1", "listGroup", text).items()
    )
    request = f"POST /api/pns/ HTTP/1.1\r\nContent-Length: {len(text)}\r\n{headers}\r\n".encode()
    held = []
    for sent in (b"", b"POST /", request, *[(request + text) * 20] * 5):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(sent)
        held.append(connection)
    assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert server.stop() == 0
    assert "workers killed" not in server.log.read_text("utf-8")
    for connection in held:
        connection.close()


@on_sqlite_only
def test_server_speaks_tls_and_loads_a_new_certificate_on_sighup(
    served_url: str, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path, is_rsa=True)
    server = Process(
        [
            *("serve", "--database", served_url, "--port", "0", "--workers", "2"),
            *("--admin-port", "0", "--tls-cert", str(cert), "--tls-key", str(key)),
        ],
        tmp_path / "log",
        {"OPENPNS_MASTER_KEY": MASTER_KEY},
    )
    server.port = int(server.wait_for(r"https://127.0.0.1:([0-9]+)/api/pns/")[1])
    server.workers(2)
    before = _https_call(server.port, cert)
    assert _get(int(server.wait_for(r":([0-9]+)/healthz")[1]), "/readyz") == "ready\n"
    write_certificate(tmp_path)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("certificate reloaded(.|\n)*certificate reloaded")
    assert _https_call(server.port, cert) != before
    cert.write_text("no certificate")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("certificate not reloaded(.|\n)*certificate not reloaded")
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1" not in plain.recv(1000)
    assert server.stop() == 0


def _https_call(port: int, cert: Path) -> bytes | None:
    """Send a request over TLS; return the certificate of the server."""
    context = ssl.create_default_context(cafile=str(cert))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    try:
        text = b'{"limit":1,"offset":0}'
        connection.request("POST", "/api/pns/", text, signed("cus_1", "listGroup", text))
        assert json.loads(connection.getresponse().read())["code"] == 0
        return connection.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
    finally:
        connection.close()
