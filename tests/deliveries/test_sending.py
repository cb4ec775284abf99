"""Attempts: what counts as taken, and what bad receivers can do."""

import asyncio
import logging
from pathlib import Path

import httpx2
import pytest
from tests import direct
from tests.conftest import FakeClock
from tests.deliveries.conftest import Add, Hook, Make
from tests.deliveries.hook_server import (
    MINUTE_MS,
    STATES,
    HookServer,
    Received,
    answer,
    drip,
    drop,
    hang,
    receiving,
    take,
    until,
)
from tests.helpers import on_sqlite_only

from openpns.core import logs
from openpns.deliveries import sending
from openpns.deliveries.sending import Outcome, Sender, silence_library
from openpns.deliveries.settings import SendingSettings


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "204 No Content", "299 Odd"])
async def test_any_2xx_is_taken(
    hook: Hook, add: Add, make: Make, query: direct.Query, status: str
) -> None:
    async with receiving(answer(status)) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        await make().run_once()
    assert [row[1] for row in await query(STATES)] == ["delivered"]


@on_sqlite_only
@pytest.mark.parametrize(
    ("respond", "status", "error"),
    [
        (answer("500 Internal"), 500, "status 500"),
        (answer("404 Not Found"), 404, "status 404"),
        (answer("304 Not Modified"), 304, "status 304"),
        (drop, 0, "the response is not HTTP"),
        (hang, 0, "no response in time"),
        (drip, 0, "no response in time"),
        (answer("not http"), 0, "the response is not HTTP"),
    ],
)
async def test_receiver_that_fails_gets_the_event_again_with_the_same_id(
    hook: Hook,
    add: Add,
    make: Make,
    query: direct.Query,
    clock: FakeClock,
    respond: object,
    status: int,
    error: str,
) -> None:
    async with receiving(respond) as receiver:  # type: ignore[arg-type]
        await hook("cus_1", receiver.url)
        await add("cus_1", 1)
        deliverer = make(webhook_timeout_ms=300)
        assert await deliverer.run_once() == 1
        assert await query(STATES) == [("1", "pending", 1, 1, status, error)]
        assert await deliverer.run_once() == 0
        receiver.respond = take
        clock.now_ms += MINUTE_MS
        assert await deliverer.run_once() == 1
    assert receiver.ids() == ["1", "1"]
    assert await query(STATES) == [("1", "delivered", 2, 2, 200, "")]


@on_sqlite_only
async def test_redirect_is_a_failure_and_is_not_followed(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async with receiving() as other:
        moved = answer("307 Temporary Redirect", f"location: {other.url}\r\n")
        async with receiving(moved) as receiver:
            await hook("cus_1", receiver.url)
            await add("cus_1", 1)
            await make().run_once()
    assert other.received == []
    assert [row[1:] for row in await query(STATES)] == [("pending", 1, 1, 307, "status 307")]


@on_sqlite_only
async def test_status_counts_even_if_the_body_never_ends(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async def respond(receiver: HookServer, _: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not receiver.never.is_set():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with receiving(respond) as receiver:
        await hook("cus_1", receiver.url)
        await add("cus_1", 1, 2)
        await make().run_once()
    assert [row[1] for row in await query(STATES)] == ["delivered", "delivered"]


@on_sqlite_only
async def test_forbidden_address_is_not_connected_to(
    hook: Hook, add: Add, make: Make, query: direct.Query
) -> None:
    async with receiving() as receiver:
        await hook("cus_1", receiver.url)
        await hook("cus_2", receiver.url.replace("127.0.0.1", "localhost"))
        await add("cus_1", 1)
        await add("cus_2", 2)
        await make(webhook_networks_allowed="10.0.0.0/8").run_once()
    assert receiver.received == []
    for row in await query(STATES):
        assert row[1] == "pending"
        assert row[5] == "address not allowed: loopback"


@on_sqlite_only
async def test_no_url_is_logged_at_any_level(
    hook: Hook,
    add: Add,
    make: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logs.configure("json", "debug")
    library = logging.getLogger("httpcore2")
    monkeypatch.setattr(library, "level", library.level)  # restores it
    silence_library()
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    async with receiving(answer("410 Gone")) as receiver:
        await hook("cus_1", f"{receiver.url}?token=geheim")
        await add("cus_1", 1)
        await make().run_once()
    assert receiver.received[0].path == "/hook?token=geheim"
    logged = capsys.readouterr().err
    assert "webhook stopped" in logged
    assert "geheim" not in logged
    assert "whsec" not in logged
    assert receiver.received[0].headers["webhook-signature"] not in logged


async def test_connections_are_used_again_for_the_same_customer_only() -> None:
    peers: set[tuple[str, int]] = set()

    async def respond(receiver: HookServer, got: Received, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        await take(receiver, got, writer)

    async with receiving(respond) as receiver:
        sender = Sender(SendingSettings("127.0.0.0/8"))
        for owner in ("cus_1", "cus_1", "cus_1", "cus_2"):
            headers = [(b"webhook-id", b"msg_1")]
            outcome = await sender.send(httpx2.URL(receiver.url), headers, b"{}", owner)
            assert outcome.is_taken
        await sender.close()
    assert len(peers) == 2


@pytest.mark.parametrize("bound", ["_KEEP_ALIVE_S", "_POOLS_KEPT_MAX"])
async def test_connections_that_are_not_used_are_closed(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, bound, 0.05 if bound == "_KEEP_ALIVE_S" else 1)
    ended = 0

    class Counting(HookServer):
        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal ended
            await super()._serve(reader, writer)
            ended += 1

    receiver = await Counting().start()
    sender = Sender(SendingSettings("127.0.0.0/8"))
    for owner in ("a", "b", "c"):
        await sender.send(httpx2.URL(receiver.url), [(b"webhook-id", b"msg_1")], b"{}", owner)
    await until(lambda: ended >= (3 if bound == "_KEEP_ALIVE_S" else 2))
    assert len(sender._pools) == (0 if bound == "_KEEP_ALIVE_S" else 1)
    await sender.close()
    await receiver.stop()


async def test_headers_without_end_are_bounded() -> None:
    async def flood(receiver: HookServer, _: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not receiver.never.is_set():
            writer.write(b"x: " + b"y" * 8192 + b"\r\n")
            await writer.drain()

    async with receiving(flood) as receiver:
        sender = Sender(SendingSettings("127.0.0.0/8", 20_000))
        outcome = await sender.send(httpx2.URL(receiver.url), [(b"webhook-id", b"msg_1")], b"{}")
        assert outcome == Outcome(0, "the response is too long")
        await sender.close()


async def test_interim_responses_without_end_are_bounded() -> None:
    async def flood(receiver: HookServer, _: Received, writer: asyncio.StreamWriter) -> None:
        while not receiver.never.is_set():
            writer.write(b"HTTP/1.1 103 \r\n\r\n" * 100)
            await writer.drain()

    async with receiving(flood) as receiver:
        sender = Sender(SendingSettings("127.0.0.0/8", 20_000))
        url, headers = httpx2.URL(receiver.url), [(b"webhook-id", b"msg_1")]
        outcome = await sender.send(url, headers, b"{}")
        assert outcome == Outcome(0, "the response is too long")
        receiver.respond = answer("204 No Content", "x: " + "y" * 20_000 + "\r\n")
        for _ in range(3):  # what one response has does not count for the next
            assert (await sender.send(url, headers, b"{}")).is_taken
        await sender.close()


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password geheim\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with_cookie = answer("200 OK", "set-cookie: a=b\r\n")
    async with receiving(with_cookie) as receiver:
        sender = Sender(SendingSettings("127.0.0.0/8"))
        for _ in range(2):
            await sender.send(httpx2.URL(receiver.url), [(b"webhook-id", b"msg_1")], b"{}")
        await sender.close()
    assert len(receiver.received) == 2
    for one in receiver.received:
        assert one.headers.keys() == {"host", "webhook-id", "content-length"}
