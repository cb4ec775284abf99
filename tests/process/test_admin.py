import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from openpns.api.counters import Counters, create_counter_file, read_total
from openpns.api.metrics import CounterCollector
from openpns.core import logs
from openpns.process import admin
from openpns.process.admin import AdminPort, State
from openpns.server.settings import Settings
from openpns.transport.sockets import listen

Answer = tuple[int, dict[str, str], str]
Begin = Callable[..., Awaitable[int]]
FindState = Callable[[], Awaitable[State]]


async def find_nothing() -> State:
    return State()


def admin_port(counters: int, find_state: FindState = find_nothing, **settings: Any) -> AdminPort:
    return AdminPort(
        Settings(database="sqlite:///x.db", **settings),
        find_state,
        lambda: [CounterCollector(read_total(counters))],
    )


@pytest.fixture
def counters() -> Any:
    descriptor = create_counter_file(1)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def start(counters: int) -> AsyncIterator[Begin]:
    """Start an admin port with some settings; return its port."""
    running: list[AdminPort] = []

    async def begin(find_state: FindState = find_nothing, **settings: Any) -> int:
        port = admin_port(counters, find_state, **settings)
        listening = listen("admin_port", "127.0.0.1", 0)
        number: int = listening.getsockname()[1]
        port.start(listening)
        running.append(port)
        return number

    yield begin
    for port in running:
        await port.stop()


async def get(port: int, path: str, host: str | None = "localhost", method: str = "GET") -> Answer:
    line = "" if host is None else f"Host: {host}\r\n"
    return await send(port, f"{method} {path} HTTP/1.1\r\n{line}Connection: close\r\n\r\n")


async def send(port: int, text: str) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    status_line, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status_line.split()[1]), headers, body


async def test_healthz_returns_200_and_head_no_body(start: Begin) -> None:
    port = await start()
    assert (await get(port, "/healthz"))[::2] == (200, "ok\n")
    status, headers, body = await get(port, "/healthz?verbose", method="HEAD")
    assert (status, headers["content-length"], body) == (200, "3", "")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(), (200, "ready\n")),
        (State("database: gone", "calls are held"), (503, "not ready: database: gone\n")),
        (State(None, "calls are held"), (200, "ready\ncalls are held\n")),
    ],
)
async def test_readyz_returns_503_with_the_fault_and_a_note(
    start: Begin, state: State, expected: tuple[int, str]
) -> None:
    async def find_state() -> State:
        return state

    assert (await get(await start(find_state), "/readyz"))[::2] == expected


async def test_metrics_parse_as_prometheus_text_and_count_admin_connections(start: Begin) -> None:
    status, headers, body = await get(await start(), "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert samples["openpns_requests_in_flight"] == 0
    assert samples["openpns_admin_connections"] == 1
    assert samples["openpns_build_info"] == 1


async def test_metrics_are_rendered_once_for_many_requests(
    start: Begin, counters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_METRICS_SHARED_S", 1000.0)
    port = await start()
    first = await get(port, "/metrics")
    Counters(counters).count("listGroup", 0, 0.1)
    assert (await get(port, "/metrics"))[2] == first[2]
    monkeypatch.setattr(admin, "_METRICS_SHARED_S", 0.0)
    assert (await get(port, "/metrics"))[2] != first[2]


async def test_metrics_return_503_without_counters() -> None:
    assert admin_port(counters=-1)._render_metrics().status == 503


async def test_unknown_path_returns_404_and_lists_paths(start: Begin) -> None:
    status, _, body = await get(await start(), "/")
    assert status == 404
    assert "/healthz, /readyz, /metrics" in body


@pytest.mark.parametrize("length", [0, 10, 100_000])
async def test_other_methods_are_refused(start: Begin, length: int) -> None:
    text = f"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    status, headers, _ = await send(await start(), f"{text}Connection: close\r\n\r\n{'x' * length}")
    assert status == (405 if length <= 1024 else 413)
    assert headers.get("allow", "get, head") == "get, head"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (None, 200),
        ("localhost:9090", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:9090", 200),
        ("[::1]:9090", 200),
        ("10.0.0.1:9090", 200),
        ("pns.internal", 200),
        ("node1.example:9090", 200),
        ("attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("127.0.0.1.attacker.example:9090", 421),
        ("[", 421),
        (":9090", 421),
        ("localhost\r\nHost: attacker.example", 421),
        ("attacker.example\r\nHost: localhost", 421),
    ],
)
async def test_host_must_be_local_an_address_or_configured(
    start: Begin, host: str | None, status: int
) -> None:
    port = await start(admin_host="pns.internal", admin_hosts="Node1.example, node2.example")
    answer = await get(port, "/healthz", host)
    assert answer[0] == status
    assert (answer[2] == "ok\n") == (status == 200)


async def test_connections_that_send_slowly_give_way(start: Begin) -> None:
    port = await start(admin_connections_max=4)
    with contextlib.ExitStack() as held:
        for _ in range(8):
            slow = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            await asyncio.sleep(0.12)  # one that has just come keeps its place
            assert (await get(port, "/healthz"))[0] == 200
        _, _, body = await get(port, "/metrics")
    (open_now,) = re.findall(r"^openpns_admin_connections ([0-9.]+)$", body, re.M)
    assert 2 <= float(open_now) <= 4


async def test_bytes_now_and_then_do_not_prolong_a_request(
    start: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_TIMEOUT_S", 0.3)
    port = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.ensure_future(reader.read())
    for _ in range(100):
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        await asyncio.wait({ended}, timeout=0.1)
        if ended.done():
            break
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(ended, 0.1) == b""
    writer.close()


async def test_reset_connections_log_nothing(
    start: Begin, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "debug")
    port = await start()
    for sent in (b"", b"GET /he", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5) * 5:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await asyncio.sleep(0)
    assert (await get(port, "/healthz"))[0] == 200
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line for line in lines if line["level"] != "debug"] == []
