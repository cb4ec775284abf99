import pytest
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only

from openpns.server.settings import FIELDS


def test_serve_help_describes_every_setting(run_anywhere: Run) -> None:
    text = " ".join(run_anywhere("serve", "--help").out.split())
    for field in FIELDS:
        assert f"--{field.name.replace('_', '-')} VALUE" in text
        assert f"[OPENPNS_{field.name.upper()}]" in text
    assert "an integer from 0 to 65535; default 8080." in text
    assert "default None" not in text


def test_serve_without_database_says_how_to_set_it(run_anywhere: Run) -> None:
    done = run_anywhere("serve", code=2)
    assert done.err.startswith("openpns: database: is not set; give --database or OPENPNS_DATABASE")


@on_sqlite_only
def test_serve_names_a_wrong_value_and_the_allowed_ones(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("serve", "--port", "http", code=2).err == (
        "openpns: port: 'http' (from --port) is not allowed; allowed is an integer from 0 to "
        "65535\n"
    )
    monkeypatch.setenv("OPENPNS_WORKERS", "many")
    assert "workers: 'many' (from OPENPNS_WORKERS)" in run("serve", code=2).err


def test_serve_refuses_a_database_without_migrations(run: Run) -> None:
    assert "openpns migrate" in run("serve", "--port", "0", code=2).err


@on_sqlite_only
def test_no_cache_sets_cache_bytes_max_to_0(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr("openpns.server.run.run", served.append)
    run("serve", "--no-cache", "--cache-bytes-max", "4096")
    run("serve", "--cache-bytes-max", "4096")
    assert [settings.cache_bytes_max for settings in served] == [0, 4096]
