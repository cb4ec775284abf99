from pathlib import Path

import msgspec
import pytest
from tests.cli.conftest import Run

from openpns.deliveries.settings import DeliverySettings


def test_worker_help_describes_its_settings_and_no_others(run_anywhere: Run) -> None:
    text = " ".join(run_anywhere("worker", "--help").out.split())
    for field in msgspec.structs.fields(DeliverySettings):
        assert f"--{field.name.replace('_', '-')} VALUE" in text
        assert f"[OPENPNS_{field.name.upper()}]" in text
    assert "--port" not in text
    assert "--webhook-time-zone" not in text


def test_worker_reads_the_file_and_the_variables_of_a_server(
    run_anywhere: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[DeliverySettings, dict[str, str | None]]] = []
    monkeypatch.setattr("openpns.worker.run.run", lambda *given: started.append(given))
    config = tmp_path / "openpns.toml"
    config.write_text(
        'database = "sqlite:///a.db"\nport = 1\nworkers = 3\nwebhook_schedule = "exponential"\n'
    )
    monkeypatch.setenv("OPENPNS_RATE_PER_S", "5")
    monkeypatch.setenv("OPENPNS_WEBHOOK_TIMEOUT_MS", "2000")
    run_anywhere("worker", "--config", str(config), "--webhook-requests-max", "8")
    ((settings, unknown),) = started
    assert settings == DeliverySettings(
        database="sqlite:///a.db",
        webhook_schedule="exponential",
        webhook_timeout_ms=2000,
        webhook_requests_max=8,
    )
    assert "OPENPNS_RATE_PER_S" not in unknown
    config.write_text('database = "sqlite:///a.db"\nprot = 1\n')
    done = run_anywhere("worker", "--config", str(config), code=2)
    assert "unknown setting 'prot'" in done.err
