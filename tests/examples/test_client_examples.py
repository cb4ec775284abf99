"""The examples in several languages against a real server; all print the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import KEY_OF, Start, client_environ

import openpns

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {
    "python": [sys.executable, str(EXAMPLES / "list_groups.py")],
    "node": ["node", str(EXAMPLES / "node" / "list_groups.mjs")],
    "java": ["java", str(EXAMPLES / "java" / "ListGroups.java")],
}
HERE = [name for name, command in COMMANDS.items() if shutil.which(command[0])]
"""Node.js and Java run only if they are installed."""

PHONE = "85211111114"
GROUPS: list[tuple[str, list[str]]] = [
    ("groupA", [PHONE, "85235753351", "85235753311"]),
    ("柏林东区商家002", ["4915876139303"]),
    ("empty", []),
]


def run(name: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMANDS[name],
        env=os.environ | environ,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@on_sqlite_only
def test_example_lists_every_group(serve: Start) -> None:
    assert "python" in HERE
    server = serve()
    environ = client_environ(server)
    with openpns.Client(f"http://127.0.0.1:{server.port}", *KEY_OF["cus_1"]) as pns:
        lines = []
        for group, phones in GROUPS:
            group_id = pns.groups.create(phones or PHONE, group)
            if not phones:
                pns.groups.remove_phones(group_id, PHONE)
            lines.append(f"{group_id}  {len(phones)} phones  {group}")
    expected = ["3 groups", *lines, "4 phones in all"]
    for name in HERE:
        for algorithm in ("md5", "sha256"):
            done = run(name, environ | {"OPENPNS_ALGORITHM": algorithm})
            assert (done.stdout.splitlines(), done.returncode) == (expected, 0), done.stderr


@on_sqlite_only
def test_example_prints_the_error(serve: Start) -> None:
    environ = client_environ(serve()) | {"OPENPNS_ACCESS_SECRET": "not-the-secret"}
    for name in HERE:
        done = run(name, environ)
        assert done.returncode == 1
        assert "Invalid signature" in done.stderr
        assert "1003" in done.stderr


def test_python_example_names_missing_settings(tmp_path: Path) -> None:
    done = run("python", {"XDG_CONFIG_HOME": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.startswith("base_url, access_key, access_secret: not set")


@pytest.mark.parametrize("name", COMMANDS)
def test_example_exists(name: str) -> None:
    assert Path(COMMANDS[name][1]).is_file()
