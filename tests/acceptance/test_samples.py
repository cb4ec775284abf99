"""The samples for systemd, nginx and HAProxy, with the real programs."""

import contextlib
import ctypes
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import MASTER_KEY, Process, Start, free_port, signed

SAMPLES = Path(__file__).parents[2] / "samples"
ATTACKER = "127.0.0.2"
"""An address of loopback besides that of the other client; Linux has all of 127.0.0.0/8."""
PACKAGES = {"systemd-analyze": "systemd", "nginx": "nginx", "haproxy": "haproxy"}
NO_WRITABLE_CODE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""A program that runs another one, which may have no memory that is both code and writable."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the samples are for Linux")


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed; Debian: apt-get install {PACKAGES[name]}")
    return found


# -- systemd -------------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, for a program that exists on this machine."""
    text, found = re.subn(
        r"^ExecStart=\S+",
        "ExecStart=/bin/true",
        (SAMPLES / "openpns.service").read_text(),
        flags=re.M,
    )
    assert found == 1
    file = tmp_path / "openpns.service"
    file.write_text(text)
    return file


def test_systemd_finds_nothing_wrong_in_the_unit(unit: Path) -> None:
    command = [program("systemd-analyze"), "verify", str(unit)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_systemd_rates_the_unit_as_hardened(unit: Path) -> None:
    # A unit without any protection has 96, of 100.
    command = [program("systemd-analyze"), "security", "--offline=true", "--threshold=20"]
    checked = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@on_sqlite_only
def test_server_runs_with_credentials_and_without_writable_code(
    served_url: str, tmp_path: Path
) -> None:
    """As the unit runs it: secrets in files, and MemoryDenyWriteExecute."""
    if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) < 0:
        pytest.skip("the kernel is older than Linux 6.3: it cannot forbid writable code")
    key, config = tmp_path / "master-key", tmp_path / "openpns.toml"
    key.write_text(f"{MASTER_KEY}\n")
    key.chmod(0o440)
    config.write_text(f'database = "{served_url}"\nport = 0\nadmin_port = 0\n')
    config.chmod(0o440)
    server = Process(
        ["serve"],
        tmp_path / "log",
        {"OPENPNS_MASTER_KEY_FILE": str(key), "OPENPNS_CONFIG": str(config)},
        wrapper=[sys.executable, "-c", NO_WRITABLE_CODE],
    )
    server.wait_until_up()
    assert server.call("createGroup", {"phones": "85211111114"})["code"] == 0
    assert server.stop() == 0


# -- proxies -------------------------------------------------------------------------------------


class Proxy:
    """A proxy that runs a sample on a port of loopback."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.port = port
        self._log = log
        with log.open("w") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)

    def call(self) -> int:
        """Send a request on a new connection; return its HTTP status, 0 if there is none."""
        body = b'{"limit":1,"offset":0}'
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/api/pns/", body, signed("cus_1", "listGroup", body))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def wait_until_it_answers(self) -> None:
        for _ in range(200):
            if self.call() == 200:
                return
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.1)
        raise AssertionError(f"the proxy does not answer: {self._log.read_text()}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


def replaced(text: str, pattern: str, by: str) -> str:
    text, found = re.subn(pattern, by, text, flags=re.M)
    assert found == 1, pattern
    return text


@pytest.fixture
def server(serve: Start) -> Process:
    return serve("--admin-port", "0")


@pytest.fixture
def nginx(server: Process, tmp_path: Path) -> Iterator[Proxy]:
    """Run the sample with 128 connections and 1 s for headers."""
    path, port = program("nginx"), free_port()
    text = (SAMPLES / "nginx.conf").read_text("utf-8")
    text = replaced(text, r"listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = replaced(text, r"^ *ssl_certificate .*\n", "")
    text = replaced(text, r"^ *ssl_certificate_key .*\n", "")
    text = replaced(text, r"server 127.0.0.1:8080;", f"server 127.0.0.1:{server.port};")
    text = replaced(text, r"client_header_timeout 5s;", "client_header_timeout 1s;")
    folders = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.getuid() == 0 else ""
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"{user}daemon off;\npid {tmp_path}/nginx.pid;\nerror_log stderr;\n"
        f"events {{ worker_connections 128; }}\nhttp {{\naccess_log off;\n{folders}{text}}}\n"
    )
    log = tmp_path / "nginx.log"
    proxy = Proxy([path, "-e", "stderr", "-p", str(tmp_path), "-c", str(config)], port, log)
    proxy.wait_until_it_answers()
    yield proxy
    proxy.stop()


@pytest.fixture
def haproxy(server: Process, tmp_path: Path) -> Iterator[Proxy]:
    """Run the sample with one node and 250 connections."""
    path, port = program("haproxy"), free_port()
    admin = server.wait_for(r":([0-9]+)/healthz")[1]
    text = (SAMPLES / "haproxy.cfg").read_text("utf-8")
    text = replaced(text, r"bind .*", f"bind 127.0.0.1:{port}")
    text = replaced(text, r"/run/haproxy/openpns.sock", str(tmp_path / "admin.sock"))
    text = replaced(text, r"maxconn 8000", "maxconn 250")
    text = replaced(text, r"^ *server node2 .*\n", "")
    text = replaced(
        text,
        r"server node1 \S+ check port \d+",
        f"server node1 127.0.0.1:{server.port} check port {admin}",
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(text)
    proxy = Proxy([path, "-db", "-f", str(config)], port, tmp_path / "haproxy.log")
    proxy.wait_until_it_answers()
    yield proxy
    proxy.stop()


@contextlib.contextmanager
def held(port: int, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Hold connections from one address that send no more than this."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.bind((ATTACKER, 0))
            connection.settimeout(10)
            with contextlib.suppress(ConnectionError):  # refused: that is what bounds are for
                connection.connect(("127.0.0.1", port))
                connection.sendall(sent)
            connection.setblocking(False)
            connections.append(connection)
        yield connections


def is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


@on_sqlite_only
def test_nginx_answers_others_while_one_address_holds_silent_connections(nginx: Proxy) -> None:
    with held(nginx.port, 500, b"") as connections:
        assert [nginx.call() for _ in range(5)] == [200] * 5
        assert sum(map(is_open, connections)) < 128


@on_sqlite_only
def test_nginx_closes_connections_with_headers_that_do_not_end(nginx: Proxy) -> None:
    with held(nginx.port, 200, b"POST /api/pns/ HTTP/1.1\r\nX: ") as connections:
        for _ in range(100):
            if nginx.call() == 200 and not any(map(is_open, connections)):
                return
            time.sleep(0.1)
    raise AssertionError("they are still open")


@on_sqlite_only
def test_nginx_bounds_the_requests_in_flight_of_one_address(nginx: Proxy) -> None:
    head = b"POST /api/pns/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    with held(nginx.port, 110, head) as connections:
        statuses = []
        for _ in range(50):
            time.sleep(0.1)
            for connection in connections:
                with contextlib.suppress(OSError):
                    statuses += re.findall(rb"^HTTP/1.1 ([0-9]+)", connection.recv(4096))
            if len(statuses) >= 10:
                break
        assert set(statuses) == {b"503"}
        assert len(statuses) == 10
        assert nginx.call() == 200


@on_sqlite_only
@pytest.mark.parametrize("sent", [b"", b"POST /api/pns/ HTTP/1.1\r\nX: "])
def test_haproxy_answers_others_while_one_address_holds_connections(
    haproxy: Proxy, sent: bytes
) -> None:
    with held(haproxy.port, 400, sent) as connections:
        assert [haproxy.call() for _ in range(5)] == [200] * 5
        assert sum(map(is_open, connections)) <= 200
