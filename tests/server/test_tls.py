import contextlib
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


def test_reload_returns_nothing_if_the_new_certificate_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    cert, key = write_certificate(tmp_path)
    settings = _settings(cert, key)
    key.write_text("no key")
    assert tls.reload(settings) is None
    assert "certificate not reloaded" in capsys.readouterr().err
    write_certificate(tmp_path)
    assert tls.reload(settings) is not None
    assert "certificate reloaded" in capsys.readouterr().err


def test_reload_keeps_no_certificate_of_another_type(tmp_path: Path) -> None:
    settings = _settings(*write_certificate(tmp_path, is_rsa=True))
    old = tls.load(settings)
    assert old is not None
    assert _shake_hands(old, "aRSA")
    write_certificate(tmp_path)
    new = tls.reload(settings)
    assert new is not None
    assert _shake_hands(new, "aECDSA")
    with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
        _shake_hands(new, "aRSA")


def _shake_hands(context: ssl.SSLContext, ciphers: str) -> bool:
    """Let a client connect in memory that knows some ciphers of TLS 1.2."""
    wanted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wanted.check_hostname, wanted.verify_mode = False, ssl.CERT_NONE
    wanted.maximum_version = ssl.TLSVersion.TLSv1_2
    wanted.set_ciphers(ciphers)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = wanted.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return server.cipher() is not None


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
