"""Two nodes behind HAProxy, restarted one after the other under load: no request fails.

The configuration is samples/haproxy.cfg, with this test's ports in it.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes import Process, Start, free_port
from tests.promises.test_durable import check
from tests.promises.traffic import SEED, Writer, rounds, running, wait_until

SAMPLE = Path(__file__).parents[2] / "samples" / "haproxy.cfg"
NODES = ("node1", "node2")

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None,
    reason="haproxy is not installed; Debian: apt-get install haproxy",
)


class Node:
    """A server that is started again with the port and the admin port that it had."""

    def __init__(self, serve: Start) -> None:
        self._serve = serve
        self.port = self.admin_port = 0
        self.start()

    def start(self) -> None:
        self.server: Process = self._serve(
            *("--workers", "2", "--host", "127.0.0.1"),
            *("--port", str(self.port), "--admin-port", str(self.admin_port)),
        )
        self.port = self.server.port
        self.admin_port = int(self.server.wait_for(r":([0-9]+)/healthz")[1])
        self.server.workers(2)


class HAProxy:
    """HAProxy in front of two nodes.

    Args:
        nodes: Where it sends requests.
        folder: For its configuration and its socket.
    """

    def __init__(self, nodes: list[Node], folder: Path) -> None:
        self.port = free_port()
        self._socket = folder / "admin.sock"
        text = SAMPLE.read_text("utf-8")
        text = text.replace("maxconn 8000", "maxconn 500")  # for a low bound on open files
        text = re.sub(r"bind .*", f"bind 127.0.0.1:{self.port}", text)
        text = text.replace("/run/haproxy/openpns.sock", str(self._socket))
        for name, node in zip(NODES, nodes, strict=True):
            text, found = re.subn(
                rf"server {name} \S+ check port \d+",
                f"server {name} 127.0.0.1:{node.port} check port {node.admin_port}",
                text,
            )
            assert found == 1
        config = folder / "haproxy.cfg"
        config.write_text(text)
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        with (folder / "haproxy.log").open("w") as log:
            self._process = subprocess.Popen(
                [str(program), "-db", "-f", str(config)], stdout=log, stderr=log
            )
        for name in NODES:
            self.wait_until_up(name)

    def command(self, command: str) -> str:
        """Send a command to the runtime socket, and return its answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def state(self, name: str) -> dict[str, str]:
        """Return what `show stat` says of a node."""
        head, *lines = self.command("show stat").removeprefix("# ").splitlines()
        rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines if line]
        (found,) = [row for row in rows if row["svname"] == name]
        return found

    def wait_until_up(self, name: str) -> None:
        def is_up() -> bool:
            if self._process.poll() is None and not self._socket.exists():
                return False
            return self.state(name)["status"] == "UP"

        wait_until(is_up, f"{name} is up")

    def drain(self, name: str) -> None:
        """Send a node no more requests, and wait until it has none."""
        self.command(f"set server openpns/{name} state drain")
        wait_until(lambda: self.state(name)["scur"] == "0", f"{name} has no request")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def nodes(serve: Start) -> list[Node]:
    return [Node(serve) for _ in NODES]


@pytest.fixture
def haproxy(nodes: list[Node]) -> Iterator[HAProxy]:
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="openpns-") as folder:
        proxy = HAProxy(nodes, Path(folder))
        yield proxy
        proxy.stop()


def test_no_request_fails_while_nodes_restart(
    nodes: list[Node], haproxy: HAProxy, served_url: str
) -> None:
    writers = [Writer(f"w{number}", SEED) for number in range(6)]
    for _ in rounds(quick=1, soak=10):
        with running(writers, haproxy.port):
            for name, node in zip(NODES, nodes, strict=True):
                time.sleep(0.3)
                haproxy.drain(name)
                assert node.server.stop() == 0
                node.start()
                haproxy.command(f"set server openpns/{name} state ready")
                haproxy.wait_until_up(name)
            time.sleep(0.3)
        check(writers, nodes[0].server, served_url)
    assert [writer.lost for writer in writers] == [0] * len(writers)
    assert {code for writer in writers for code in writer.codes} == {0}
    answered = {name: int(haproxy.state(name)["hrsp_2xx"]) for name in NODES}
    assert min(answered.values()) > 0, "both nodes got requests"
