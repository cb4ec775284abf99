import os
import subprocess
import sys
from pathlib import Path

from openpns.testing import Emulator

TESTS = """
def test_one(pns_server):
    pns_server.add_group(["85211111114"])
    pns_server.faults.internal_error(times=None)
    print("port", pns_server.base_url)

def test_two(pns_server):
    assert pns_server.groups() == []
    assert pns_server.requests == []
    assert repr(pns_server.faults) == "Faults()"
    print("port", pns_server.base_url)
"""

WITHOUT_APSW = """
import sys
sys.modules["apsw"] = None
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with the installed plugin."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-sv", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ
    )


def test_each_test_gets_the_same_server_reset(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    ports = {line for line in done.stdout.splitlines() if "port http://127.0.0.1:" in line}
    assert len({line.rpartition(":")[2] for line in ports}) == 1


def test_missing_package_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(WITHOUT_APSW)
    (tmp_path / "test_it.py").write_text("def test_one(pns_server): pass\ndef test_no(): pass\n")
    done = run_pytest(tmp_path)
    assert "1 passed, 1 error" in done.stdout
    assert "(apsw is missing); install them with: pip install 'openpns[testing]'" in done.stdout


FORBIDDEN = """
import socket
def refuse(*_, **__):
    raise RuntimeError("no sockets in tests")
socket.socketpair = refuse
"""


def test_forbidden_sockets_are_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(FORBIDDEN)
    (tmp_path / "test_it.py").write_text("def test_one(pns_server): pass\ndef test_no(): pass\n")
    done = run_pytest(tmp_path)
    assert "1 passed, " in done.stdout
    assert "1 error" in done.stdout
    assert "the fixture pns_server: the emulator cannot start (RuntimeError: no so" in done.stdout
    assert "--allow-hosts=127.0.0.1" in done.stdout


SHARED = """
import openpns, pytest_asyncio

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(_pns_emulator):
    async with openpns.AsyncClient(
        _pns_emulator.base_url, _pns_emulator.access_key, _pns_emulator.access_secret
    ) as client:
        await client.groups.list()
        yield client

async def test_one(client, pns_server):
    assert (await client.groups.list()).total == 0

async def test_two(client, pns_server):
    assert (await client.groups.list()).total == 0
"""


def test_async_client_of_a_wide_fixture_works_in_each_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SHARED)
    done = run_pytest(tmp_path, "-o", "asyncio_mode=auto")
    assert "2 passed" in done.stdout, done.stdout
    assert "ResourceWarning" not in done.stdout + done.stderr


def test_plugin_loads_little() -> None:
    code = "import sys, pytest, openpns.testing.plugin; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = ("apsw", "h11", "httpx2", "msgspec", "cryptography", "structlog", "openpns.server")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_fixture_is_an_emulator(pns_server: Emulator) -> None:
    assert isinstance(pns_server, Emulator)
    assert (pns_server.access_key, pns_server.access_secret) == ("emulator-key", "emulator-secret")
