"""A server behind nginx and HAProxy: HMAC signs the client's host, and lists allow its address.

The configurations are those of samples/. Clients and proxies have different
addresses of the loopback network, which only Linux answers all.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.helpers import on_sqlite_only
from tests.processes import KEY_OF, Process, Start, free_port
from tests.promises.traffic import connect, wait_until

import openpns
from openpns.accounts import access_keys
from openpns.storage import connect as storage

SAMPLES = Path(__file__).parents[2] / "samples"
PROXY, CLIENT, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ACCESS_KEY, SECRET = KEY_OF["cus_1"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs more loopback addresses")


def _nginx(folder: Path, port: int, server_port: int) -> list[str]:
    sample = (SAMPLES / "nginx.conf").read_text("utf-8")
    sample = re.sub(r"ssl_certificate.*;", "", sample)
    sample = sample.replace("listen 443 ssl", f"listen {PROXY}:{port}")
    sample = sample.replace("server 127.0.0.1:8080", f"server 127.0.0.1:{server_port}")
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own = "".join(f"{path}_temp_path {folder}/{path};\n" for path in paths)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{own}{sample}}}\n"
    )
    return ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def _haproxy(folder: Path, port: int, server_port: int) -> list[str]:
    sample = (SAMPLES / "haproxy.cfg").read_text("utf-8")
    sample = re.sub(r"bind .*", f"bind {PROXY}:{port}", sample)
    sample = re.sub(r"stats socket .*", "", sample)
    sample = re.sub(r"server node1 .*", f"server node1 127.0.0.1:{server_port}", sample)
    sample = re.sub(r"server node2 .*", "", sample)
    (folder / "haproxy.cfg").write_text(sample)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


@pytest.fixture(params=[_nginx, _haproxy], ids=["nginx", "haproxy"])
def proxy_port(request: pytest.FixtureRequest, server: Process) -> Iterator[int]:
    """The port of a proxy in front of the server."""
    configure: Callable[[Path, int, int], list[str]] = request.param
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="openpns-") as folder:
        name, *arguments = configure(Path(folder), port, server.port)
        program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip(f"{name} is not installed; Debian: apt-get install {name}")
        process = subprocess.Popen([program, *arguments])
        wait_until(lambda: _answers(port), f"{name} answers")
        yield port
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    connection = connect(port)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@pytest.fixture
def server(serve: Start) -> Process:
    return serve("--workers", "1", "--trusted-proxies", PROXY)


def total(port: int, source: str, headers: dict[str, str] | None = None) -> int:
    """List groups from a source address, signed with HMAC; return how many there are."""
    transport = httpx2.HTTPTransport(local_address=source)
    client = openpns.Client(
        f"http://127.0.0.1:{port}",
        ACCESS_KEY,
        SECRET,
        algorithm="hmac-sha256",
        retries=0,
        transport=_Adding(transport, headers or {}),
    )
    with client:
        return client.groups.list(limit=1).total


class _Adding(httpx2.BaseTransport):
    """Adds headers to requests."""

    def __init__(self, inner: httpx2.BaseTransport, headers: dict[str, str]) -> None:
        self._inner = inner
        self._headers = headers

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers.update(self._headers)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


async def _restrict(url: str) -> None:
    store = await storage.open_store(url)
    try:
        await access_keys.set_addresses(store, ACCESS_KEY, [CLIENT])
    finally:
        await store.close()


@on_sqlite_only
def test_key_of_one_address_works_from_it_through_the_proxy_only(
    server: Process, proxy_port: int, served_url: str
) -> None:
    made_up = {"X-Forwarded-For": CLIENT}
    assert total(proxy_port, OTHER) == 0
    asyncio.run(_restrict(served_url))
    assert total(proxy_port, CLIENT) == total(server.port, CLIENT) == 0
    for port, headers in ((proxy_port, {}), (proxy_port, made_up), (server.port, made_up)):
        with pytest.raises(openpns.PermissionDenied, match="not be used from this address"):
            total(port, OTHER, headers)


@on_sqlite_only
def test_hmac_of_another_host_is_refused_whatever_the_client_forwards(proxy_port: int) -> None:
    made_up = {"X-Forwarded-Host": f"127.0.0.1:{proxy_port}", "Host": "other.example"}
    with pytest.raises(openpns.InvalidSignature):
        total(proxy_port, CLIENT, made_up)
