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


def test_plugin_loads_little() -> None:
    code = "import sys, pytest, openpns.testing.plugin; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = ("apsw", "h11", "httpx2", "msgspec", "cryptography", "structlog", "openpns.server")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_fixture_is_an_emulator(pns_server: Emulator) -> None:
    assert isinstance(pns_server, Emulator)
    assert (pns_server.access_key, pns_server.access_secret) == ("emulator-key", "emulator-secret")
