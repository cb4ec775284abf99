"""Connections: only to addresses that were judged, whatever DNS says a moment later."""

import asyncio
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest
from tests.certificates import write_certificate
from tests.deliveries.hook_server import HookServer, receiving

from openpns.deliveries import connecting
from openpns.deliveries.connecting import CheckedBackend
from openpns.deliveries.sending import Outcome, Sender
from openpns.deliveries.settings import SendingSettings
from openpns.errors import ConfigError
from openpns.kit.networks import Networks

LOOPBACK = SendingSettings(networks_allowed="127.0.0.0/8", timeout_ms=20_000)
Names = dict[str, list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Names and their addresses; the first list of addresses is used up by the first look-up."""
    known: Names = {}
    resolve = socket.getaddrinfo

    def fake(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host not in known:
            return resolve(host, port, *args, **options)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return known


async def send(sender: Sender, url: str) -> Outcome:
    headers = [(b"webhook-id", b"msg_1")]
    return await sender.send(httpx2.URL(url), headers, b"{}")


async def test_connects_to_the_address_that_was_judged_and_keeps_the_name(names: Names) -> None:
    async with receiving() as receiver:
        names["hook.example"] = ["127.0.0.1"]
        sender = Sender(LOOPBACK)
        url = f"http://hook.example:{receiver.port}/hook"
        assert await send(sender, url) == Outcome(200)
        await sender.close()
    assert receiver.received[0].headers["host"] == f"hook.example:{receiver.port}"


async def test_name_that_changes_to_a_forbidden_address_is_not_connected_to(names: Names) -> None:
    """The client looks a name up once: nothing else resolves it between check and connection."""
    async with receiving() as receiver:
        names["hook.example"] = ["127.0.0.1"]
        sender = Sender(SendingSettings("127.0.0.1/32", 20_000))
        url = f"http://hook.example:{receiver.port}/hook"
        assert (await send(sender, url)).status == 200
        for forbidden in ("127.0.0.2", "10.0.0.1", "169.254.169.254"):
            names["hook.example"] = [forbidden]
            await sender.close()  # else the connection that was judged is used again
            outcome = await send(sender, url)
            assert outcome.status == 0
            assert outcome.error.startswith("address not allowed: ")
        await sender.close()
    assert len(receiver.received) == 1


async def test_forbidden_addresses_of_a_name_are_passed_over(names: Names) -> None:
    async with receiving() as receiver:
        names["hook.example"] = ["10.0.0.1", "127.0.0.2", "127.0.0.1"]
        sender = Sender(SendingSettings("127.0.0.1/32", 20_000))
        assert await send(sender, f"http://hook.example:{receiver.port}/") == Outcome(200)
        await sender.close()


async def test_next_address_is_tried_if_one_refuses(names: Names) -> None:
    async with receiving() as receiver:
        names["hook.example"] = ["127.0.0.2", "127.0.0.1"]  # the first has no listener
        sender = Sender(LOOPBACK)
        assert await send(sender, f"http://hook.example:{receiver.port}/") == Outcome(200)
        await sender.close()


async def test_name_with_thousands_of_addresses_takes_no_longer(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names["hook.example"] = [f"10.0.{n // 250}.{n % 250}" for n in range(4000)]
    judged: list[str] = []

    def refuse(address: str, _: Networks) -> str:
        judged.append(address)
        return "private"

    monkeypatch.setattr(connecting, "refusal", refuse)
    sender = Sender(LOOPBACK)
    outcome = await send(sender, "http://hook.example/")
    await sender.close()
    assert outcome == Outcome(0, "address not allowed: private")
    assert judged == names["hook.example"][:32]


async def test_name_without_address_and_closed_port_cannot_be_connected_to(names: Names) -> None:
    names["hook.example"] = []
    sender = Sender(LOOPBACK)
    assert await send(sender, "http://hook.example/") == Outcome(0, "cannot connect")
    assert await send(sender, "http://127.0.0.1:1/") == Outcome(0, "cannot connect")
    await sender.close()


async def test_lookup_that_hangs_blocks_neither_the_loop_nor_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: str, *args: Any, **options: Any) -> Any:
        if host == "hangs.example":
            released.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        async with receiving() as receiver:
            sender = Sender(SendingSettings("127.0.0.0/8,::1", 300))
            hung = [asyncio.create_task(send(sender, "http://hangs.example/")) for _ in range(50)]
            patient = Sender(LOOPBACK)
            assert (await send(patient, receiver.url)).status == 200
            assert {await one for one in hung} == {Outcome(0, "no response in time")}
            await sender.close()
            await patient.close()
    finally:
        released.set()


async def test_lookups_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0
    lock = threading.Lock()

    def slow(*_: Any) -> list[str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with lock:
            running -= 1
        return ["10.0.0.1"]

    monkeypatch.setattr(connecting, "_look_up", slow)
    backend = CheckedBackend(Networks(""), 3)
    attempts = [backend.connect_tcp(f"h{n}.example", 80) for n in range(12)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(one, httpcore2.ConnectError) for one in results)
    assert most == 3


async def test_attempts_for_one_name_share_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    released = threading.Event()

    def slow(host: str, _: int) -> list[str]:
        looked_up.append(host)
        released.wait(60)
        return []

    monkeypatch.setattr(connecting, "_look_up", slow)
    backend = CheckedBackend(Networks(""), 2)
    names = ["a.example"] * 20 + ["b.example"] * 20
    attempts = [asyncio.create_task(backend.connect_tcp(name, 80)) for name in names]
    impatient = asyncio.create_task(backend.connect_tcp("a.example", 80))
    await asyncio.sleep(0.05)
    impatient.cancel()
    released.set()
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert {str(one) for one in results} == {"the name of the host has no address"}
    assert sorted(looked_up) == ["a.example", "b.example"]
    # The next attempt looks the name up again.
    with pytest.raises(httpcore2.ConnectError):
        await backend.connect_tcp("a.example", 80)
    assert len(looked_up) == 3


async def test_lookup_fails_if_the_system_allows_no_more_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    backend = CheckedBackend(Networks(""), 1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(httpcore2.ConnectError):
                await backend.connect_tcp("a.example", 80)
    monkeypatch.setattr(connecting, "_look_up", lambda *_: ["10.0.0.1"])
    with pytest.raises(connecting.AddressRefused):
        await backend.connect_tcp("a.example", 80)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    return write_certificate(tmp_path)


async def tls_outcomes(
    certificate: tuple[Path, Path], names: Names, host: str, *, is_trusted: bool
) -> tuple[Outcome, HookServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    names["localhost"] = names["other.example"] = ["127.0.0.1"]
    async with receiving(ssl=context) as receiver:
        with pytest.MonkeyPatch.context() as patched:
            if is_trusted:
                patched.setenv("SSL_CERT_FILE", str(certificate[0]))
            sender = Sender(LOOPBACK)
        outcome = await send(sender, f"https://{host}:{receiver.port}/hook")
        await sender.close()
        return outcome, receiver


async def test_certificate_is_checked_against_the_name(
    certificate: tuple[Path, Path], names: Names
) -> None:
    outcome, _ = await tls_outcomes(certificate, names, "localhost", is_trusted=True)
    assert outcome == Outcome(200)
    for host, is_trusted in (("other.example", True), ("localhost", False)):
        outcome, receiver = await tls_outcomes(certificate, names, host, is_trusted=is_trusted)
        assert outcome == Outcome(0, "TLS failed, or the certificate is not accepted")
        assert receiver.received == []


def test_certificates_that_cannot_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bad.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE names"):
        connecting.make_tls_context()
