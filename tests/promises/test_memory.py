"""A worker's memory stays in bounds under attack, and is given back.

`OPENPNS_SOAK=1` attacks the default settings with thousands of connections of several addresses.

Source: docs/security.md, "What each can take at most".
"""

import contextlib
import resource
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.attacks import HELD
from tests.certificates import write_certificate
from tests.helpers import on_sqlite_only
from tests.processes import Start
from tests.promises.attacker import Attack, bystander, memory_of, request
from tests.promises.traffic import IS_SOAK

pytestmark = [
    on_sqlite_only,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: /proc"),
]


def client_hello() -> bytes:
    """Return what a client of TLS sends first."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without certificates of authorities
        context.wrap_bio(received, sent, server_hostname="x").do_handshake()
    return sent.read()


MIB = 2**20
BUFFERS = () if IS_SOAK else (
    "--receive-buffer-bytes-max", str(4 * MIB), "--send-buffer-bytes-max", str(4 * MIB),
    "--cache-bytes-max", str(4 * MIB),
)  # fmt: skip
CONNECTIONS = 3000 if IS_SOAK else 120
ADDRESS_CONNECTIONS = 500
PEAK = 256 * MIB if IS_SOAK else 90 * MIB
"""What docs/security.md promises for the default settings; a part of it for smaller ones."""
ATTACKS = (
    "a header that does not end",
    "many headers",
    "trailers",
    "bodies that do not end",
    "pipelined requests",
    "unread pages",
    "long unknown keys",
)
HANDSHAKES: dict[str, bytes] = {
    "handshakes that stop": client_hello(),
    "a first message that announces 128 KiB": bytes.fromhex("16030100040101fff0"),
    "a part of a record": b"\x16\x03\x01\x40\x00" + b"\1\0\x3f\xfc" + b"x" * 16_000,
}


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, CONNECTIONS + 1000)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_memory_is_bounded_under_attack_and_given_back(
    scheme: str, serve: Start, attack: Attack, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path)
    tls = () if scheme == "http" else ("--tls-cert", str(cert), "--tls-key", str(key))
    server = serve(*BUFFERS, *tls)
    phones = ",".join(str(8613800000000 + number) for number in range(250))
    for _ in range(100):
        assert server.call("createGroup", {"phones": phones})["code"] == 0
    (worker,) = server.workers(1)
    before = memory_of(worker)
    attacker = attack(server)
    # The attacker's address gives way where it takes too much, so others have another one.
    with bystander(server, "127.0.0.2"):
        for kind in ATTACKS:
            for place in range(CONNECTIONS):
                sent = HELD[kind].sent(place, request)
                attacker.hold(sent, _address(place))
            attacker.close()
        for sent_raw in HANDSHAKES.values() if tls else ():
            for place in range(CONNECTIONS):
                attacker.hold(sent_raw, _address(place), is_raw=True)
            attacker.close()
    assert memory_of(worker, "VmHWM") < PEAK
    for _ in range(200):
        if memory_of(worker) < (before + PEAK) / 2:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(f"{before} bytes before, {memory_of(worker)} after")
    assert server.stop() == 0


def _address(place: int) -> str:
    """Return the address of one of the attacker's connections."""
    return f"127.0.1.{1 + place // ADDRESS_CONNECTIONS}"
