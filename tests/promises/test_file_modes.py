"""Private: only the owner can read the files that openpns creates."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import OPENPNS, Process


@pytest.mark.parametrize("umask", ["022", "000"])
@on_sqlite_only
def test_files_are_readable_by_their_owner_only(
    tmp_path: Path, umask: str, database_url: str
) -> None:
    environ = {
        "OPENPNS_MASTER_KEY": "",
        "OPENPNS_DATABASE": f"sqlite:///{tmp_path}/made/openpns.db",
    }
    log = (tmp_path / "log").open("w")
    # A shell sets the mask: in this process it would apply to other threads as well.
    shell = ["sh", "-c", 'umask "$0"; exec "$@"', umask]
    server = subprocess.Popen(
        [*shell, *OPENPNS, "quickstart", "--data", str(tmp_path / "made"), "--port", "0"],
        env=os.environ | environ,
        stdout=log,
        stderr=log,
    )
    process = Process.__new__(Process)
    process.log, process.process = tmp_path / "log", server
    process.wait_for("Serving until Ctrl-C")
    key = re.search(r"access key +(\S+)\naccess secret +(\S+)", process.log.read_text())
    assert key is not None

    def openpns_under(*arguments: str, expected: int = 0) -> None:
        settings = environ | {
            "OPENPNS_BASE_URL": f"http://127.0.0.1:{port}",
            "OPENPNS_ACCESS_KEY": key[1],
            "OPENPNS_ACCESS_SECRET": key[2],
        }
        done = subprocess.run(
            [*shell, *OPENPNS, *arguments],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == expected, done.stderr

    port = process.wait_for(r":([0-9]+)/api/pns/")[1]
    made = tmp_path / "made"
    # The server refuses the first row only, so that the state of the import is kept.
    (tmp_path / "rows.csv").write_text("phones\n99999999999\n85211111114\n")
    state = str(made / "state")
    openpns_under(*("groups", "import", str(tmp_path / "rows.csv"), "--state", state), expected=1)
    openpns_under("groups", "export", str(made / "export.csv"))
    openpns_under("groups", "export", str(made / "all.jsonl"), "--customer", "cus_1")
    openpns_under("backup", "--to", str(made / "backup.db"))
    openpns_under("master-key", "rotate")
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()}
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0
    log.close()
    openpns_under("restore", "--from", str(made / "backup.db"), "--force")
    modes |= {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()}
    assert {
        *("openpns.db", "openpns.db-wal", "openpns.db-shm", "openpns.db.key"),
        *("openpns.db.key.lock", "state", "export.csv", "all.jsonl", "backup.db"),
    } <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o600} == {}
    assert made.stat().st_mode & 0o777 == 0o700
