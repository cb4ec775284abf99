import resource
from typing import Any

import pytest

from openpns.core import logs
from openpns.server import worker
from openpns.server.settings import Settings


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The process's bound on open files, soft and hard; may be raised to the hard one."""
    bound = {"files": (1024, 65536)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: bound["files"])

    def set_limit(_: int, wanted: Any) -> None:
        bound["files"] = wanted

    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return bound


def test_worker_raises_its_bound_on_open_files(limit: dict[str, tuple[int, int]]) -> None:
    bounds = worker.bounds(Settings(database="x", connections_max=5000))
    assert worker._with_descriptors(bounds).connections_max == 5000
    assert limit["files"][0] > 5000


def test_worker_accepts_fewer_connections_if_it_may_open_few_files(
    limit: dict[str, tuple[int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    limit["files"] = (1024, 2000)
    bounds = worker.bounds(Settings(database="x", connections_max=5000))
    assert worker._with_descriptors(bounds).connections_max == 2000 - 256
    assert "fewer connections than connections_max" in capsys.readouterr().err


def test_one_body_is_always_admitted() -> None:
    settings = Settings(database="x", body_bytes_max=100_000, receive_buffer_bytes_max=1024)
    assert worker.bounds(settings).received_bytes_max == 100_000
