import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import write_certificate

from openpns.clock import now_ms
from openpns.core import logs
from openpns.errors import ConfigError
from openpns.server import tls
from openpns.server.settings import Settings


def _settings(cert: Path | None, key: Path | None) -> Settings:
    files: dict[str, Any] = {"tls_cert": cert and str(cert), "tls_key": key and str(key)}
    return Settings(database="sqlite:///x.db", **files)


def test_load_returns_none_without_a_certificate() -> None:
    assert tls.load(_settings(None, None)) is None


def test_load_refuses_old_versions_of_tls(tmp_path: Path) -> None:
    context = tls.load(_settings(*write_certificate(tmp_path)))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_load_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    junk = tmp_path / "junk"
    junk.touch(mode=0o600)
    (tmp_path / "other").mkdir()
    other_cert, other_key = write_certificate(tmp_path / "other", password=b"secret")
    for files, text in (
        ((cert, None), "tls_cert, tls_key: set both"),
        ((None, key), "tls_cert, tls_key: set both"),
        ((tmp_path / "gone", key), "tls_cert: cannot read .*gone .No such file"),
        ((cert, tmp_path), "tls_key: cannot read .*Is a directory"),
        ((key, key), f"^tls_cert: {key} holds no certificate in PEM"),
        ((cert, junk), f"^tls_key: {junk} holds no private key in PEM"),
        ((junk, key), f"^tls_cert: {junk} holds no certificate in PEM"),
        ((other_cert, key), f"^tls_key: {key} is not the private key of .* {other_cert}"),
        ((other_cert, other_key), f"^tls_key: {other_key} has a password"),
    ):
        with pytest.raises(ConfigError, match=text):
            tls.load(_settings(*files))


def test_load_refuses_a_key_that_others_can_read(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"^{key}: holds a private key, but others can use it"):
        tls.load(_settings(cert, key))


def test_reload_keeps_the_old_certificate_if_the_new_one_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    cert, key = write_certificate(tmp_path)
    settings = _settings(cert, key)
    context = tls.load(settings)
    assert context is not None
    key.write_text("no key")
    tls.reload(context, settings)
    assert "certificate not reloaded" in capsys.readouterr().err
    write_certificate(tmp_path)
    tls.reload(context, settings)
    assert "certificate reloaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("days", "event"), [(-1, "not valid yet"), (0.5, None), (2, "has expired")]
)
def test_certificate_that_clients_refuse_is_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    days: float,
    event: str | None,
) -> None:
    logs.configure("json", "info")
    settings = _settings(*write_certificate(tmp_path))
    later_ms = now_ms() + int(days * 86_400_000)
    monkeypatch.setattr(tls, "now_ms", lambda: later_ms)
    tls.warn_of_expiry(settings)
    log = capsys.readouterr().err
    assert (event in log) if event else (log == "")


def test_plain_http_has_no_certificate_to_expire(capsys: pytest.CaptureFixture[str]) -> None:
    tls.warn_of_expiry(_settings(None, None))
    assert capsys.readouterr().err == ""
