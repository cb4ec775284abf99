"""`openpns worker` as a process: its admin port, its start and its end."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests import direct
from tests.helpers import on_sqlite_only
from tests.processes import MASTER_KEY, Process, run_openpns

pytestmark = pytest.mark.slow


def get(port: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@on_sqlite_only
def test_worker_has_an_admin_port_and_ends_with_sigterm(served_url: str, tmp_path: Path) -> None:
    arguments = ["worker", "--database", served_url, "--admin-port", "0"]
    environ = {"OPENPNS_MASTER_KEY": MASTER_KEY, "OPENPNS_WEBHOK_SCHEDULE": "vendor"}
    process = Process(arguments, tmp_path / "worker.log", environ)
    port = process.wait_for(r"127\.0\.0\.1:([0-9]+)/healthz")[1]
    process.wait_for("delivering to webhooks")
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (200, "ready\n")
    status, metrics = get(port, "/metrics")
    assert status == 200
    assert 'openpns_delivery_attempts_total{result="delivered"} 0.0' in metrics
    assert "openpns_requests_total" not in metrics
    assert process.stop() == 0
    log = process.log.read_text("utf-8")
    assert "meant=OPENPNS_WEBHOOK_SCHEDULE" in log
    assert "stopped" in log


@on_sqlite_only
def test_worker_names_what_is_wrong_at_its_start(served_url: str) -> None:
    done = run_openpns("worker", "--database", served_url, "--webhook-schedule", "hourly")
    assert done.returncode == 2
    assert "webhook_schedule: 'hourly' (from --webhook-schedule) is not allowed" in done.stderr
    other = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    done = run_openpns("worker", "--database", served_url, OPENPNS_MASTER_KEY=other)
    assert done.returncode == 2
    assert "not the master key" in done.stderr
    assert "stopped" not in done.stderr
    asyncio.run(direct.run(served_url, "DELETE FROM schema_migration"))
    done = run_openpns("worker", "--database", served_url)
    assert done.returncode == 2
    assert "openpns migrate" in done.stderr
