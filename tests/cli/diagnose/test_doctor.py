import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.cli.conftest import Done, Run, SharedServer
from tests.cli.proxy import Proxy
from tests.helpers import on_sqlite_only
from tests.processes import MASTER_KEY

STEPS = ["settings", "dns", "connect", "tls", "http", "clock", "key", "signature", "permission"]


def _failed(done: Done) -> tuple[str, str, str]:
    """The step that failed, its detail and its advice; all earlier steps succeeded."""
    steps = done.json["steps"]
    assert done.json["ok"] is False
    assert [step["step"] for step in steps] == STEPS[: len(steps)]
    assert {step["state"] for step in steps[:-1]} <= {"ok", "skipped"}
    assert steps[-1]["state"] == "failed"
    assert done.err.startswith("openpns: ")
    assert done.err.count("\n") == 1
    return steps[-1]["step"], steps[-1]["detail"], steps[-1]["advice"]


@on_sqlite_only
def test_doctor_prints_every_step(run_anywhere: Run, server: SharedServer) -> None:
    server.call("createGroup", {"phones": "85211111114"})
    done = run_anywhere("doctor")
    lines = [line for line in done.out.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in lines] == STEPS
    assert [line.split()[0] for line in lines] == ["ok"] * 3 + ["skipped"] + ["ok"] * 5
    assert lines[-1].endswith("listGroup: 1 groups")
    assert done.err == ""
    found = run_anywhere("doctor", "--json").json
    assert found["ok"] is True
    assert [step["step"] for step in found["steps"]] == STEPS


@on_sqlite_only
def test_settings_step_names_sources_without_the_secret(
    run_anywhere: Run, server: SharedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "openpns" / "config.toml"
    file.parent.mkdir()
    file.write_text('[mine]\naccess_secret = "secret-of-cus-1"\nalgorithm = "sha256"\n')
    file.chmod(0o600)
    monkeypatch.delenv("OPENPNS_ACCESS_SECRET")
    done = run_anywhere(
        "doctor", "--profile", "mine", "--base-url", f"http://localhost:{server.port}"
    )
    text = " ".join(done.out.split())
    assert f"http://localhost:{server.port}/api/pns/ from --base-url" in text
    assert "access key key-of-cus-1 from OPENPNS_ACCESS_KEY" in text
    assert f"secret of 15 characters from the profile mine of {file}" in text
    assert "accepted (sha256)" in text
    assert "secret-of-cus-1" not in done.out


def test_settings_step_reports_a_missing_setting(
    run_anywhere: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=2))
    assert step == "settings"
    assert detail.startswith("base_url, access_key, access_secret: not set")
    assert advice


def _doctor(run: Run, url: str, monkeypatch: pytest.MonkeyPatch, code: int) -> Done:
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "secret-of-cus-1")
    return run("doctor", "--json", "--base-url", url, "--access-key", "key-of-cus-1", code=code)


def test_dns_step_reports_an_unknown_host(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _doctor(run_anywhere, "http://no-such-host.invalid", monkeypatch, 6)
    step, detail, advice = _failed(done)
    assert step == "dns"
    assert detail.startswith("no-such-host.invalid: ")
    assert "base_url" in advice


def test_connect_step_reports_a_closed_port(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        port = unused.getsockname()[1]
        done = _doctor(run_anywhere, f"http://127.0.0.1:{port}", monkeypatch, 6)
    step, detail, advice = _failed(done)
    assert (step, detail) == ("connect", f"127.0.0.1:{port}: Connection refused")
    assert "port" in advice


def test_connect_step_uses_the_proxy_of_the_environment(
    run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hunter22@no-such-proxy.invalid:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", "http://user:hunter22@no-such-proxy.invalid:3128")
    done = _doctor(run_anywhere, "http://pns.example.com", monkeypatch, 6)
    step, detail, _ = _failed(done)
    assert step == "dns"
    assert detail.startswith("the proxy no-such-proxy.invalid: ")
    assert "hunter22" not in done.out + done.err
    assert "; plain HTTP: the proxy, and anybody on the way, can" in done.json["steps"][0]["detail"]


@pytest.mark.parametrize(
    ("url", "variables", "step", "problem"),
    [
        ("http://a.test", {"all_proxy": "socks://a"}, "settings", "all_proxy: socks:// is no"),
        ("http://a.test", {"http_proxy": "http://a:x"}, "settings", "http_proxy: it is not a"),
        ("http://xn--\xe4.test", {}, "settings", "base_url: Invalid IDNA hostname"),
        ("https://127.0.0.1:{port}", {"SSL_CERT_FILE": "/none"}, "tls", "SSL_CERT_FILE: cannot"),
    ],
)
def test_wrong_environment_fails_the_step_that_needs_it(
    run_anywhere: Run,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    variables: dict[str, str],
    step: str,
    problem: str,
) -> None:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = url.format(port=listening.getsockname()[1])
        found = _failed(_doctor(run_anywhere, url, monkeypatch, 2))
    assert found[0] == step
    assert found[1].startswith(problem)


@on_sqlite_only
@pytest.mark.parametrize(
    ("page", "text"), [(b"<html>", "not one of this API"), (b"[]", "not one of this API")]
)
def test_http_step_reports_a_response_of_another_api(
    run_anywhere: Run, proxy: Proxy, page: bytes, text: str
) -> None:
    proxy.page = page
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=6))
    assert step == "http"
    assert text in detail
    assert "base_url" in advice


@on_sqlite_only
def test_http_step_reports_a_closed_connection(run_anywhere: Run, proxy: Proxy) -> None:
    proxy.lose_answer = lambda _: True
    step, detail, _ = _failed(run_anywhere("doctor", "--json", code=6))
    assert (step, detail) == ("http", "no response (RemoteProtocolError)")


@on_sqlite_only
def test_http_step_reports_a_wrong_path(run_anywhere: Run, server: SharedServer) -> None:
    url = f"http://127.0.0.1:{server.port}/pns"
    step, detail, advice = _failed(run_anywhere("doctor", "--json", "--base-url", url, code=1))
    assert step == "http"
    assert "the path must be /api/pns/" in detail
    assert "path" in advice


@on_sqlite_only
@pytest.mark.parametrize(("moved_s", "side"), [(300, "behind"), (-300, "ahead of")])
def test_clock_step_reports_a_wrong_clock(
    run_anywhere: Run, proxy: Proxy, moved_s: int, side: str
) -> None:
    proxy.date_moved_s = moved_s
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=4))
    assert step == "clock"
    assert f"s {side} the server's; the maximum is 60 s" in detail
    assert detail.split()[0] in ("299", "300", "301")
    assert "time server" in advice


@on_sqlite_only
def test_clock_step_accepts_a_small_offset(run_anywhere: Run, proxy: Proxy) -> None:
    proxy.date_moved_s = 30
    assert "s behind the server's" in run_anywhere("doctor").out
    proxy.date_moved_s = None
    found = run_anywhere("doctor", "--json").json
    assert found["ok"] is True
    assert found["steps"][STEPS.index("clock")]["state"] == "skipped"


@on_sqlite_only
def test_key_step_reports_an_unknown_or_disabled_key(
    run_anywhere: Run, server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_anywhere("doctor", "--json", "--access-key", "no-such-key", code=4)
    step, detail, advice = _failed(done)
    assert (step, detail.partition(":")[0]) == ("key", "Insufficient permissions")
    assert "openpns keys list" in advice
    monkeypatch.setenv("OPENPNS_MASTER_KEY", MASTER_KEY)
    run_anywhere("keys", "disable", "key-of-cus-1", "--database", server.url)
    assert _failed(run_anywhere("doctor", "--json", code=4))[0] == "key"


@on_sqlite_only
def test_signature_step_reports_a_wrong_secret(
    run_anywhere: Run, server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_ACCESS_SECRET", "secret-of-nobody")
    done = run_anywhere("doctor", "--json", code=4)
    step, detail, advice = _failed(done)
    assert (step, detail) == ("signature", "Invalid signature")
    assert "openpns keys rotate" in advice
    assert "secret-of-nobody" not in done.out + done.err


@on_sqlite_only
def test_permission_step_reports_a_disabled_customer(
    run_anywhere: Run, server: SharedServer
) -> None:
    run_anywhere("customers", "disable", "cus_1", "--database", server.url)
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=4))
    assert step == "permission"
    assert "customer is disabled" in detail
    assert "openpns customers list" in advice


@on_sqlite_only
def test_doctor_signs_with_hmac_and_reports_a_key_that_requires_it(
    run_anywhere: Run, server: SharedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_anywhere("keys", "require-hmac", "key-of-cus-1", "--database", server.url)
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=4))
    assert step == "signature"
    assert "demands hmac-sha256" in detail
    assert "OPENPNS_ALGORITHM" in advice
    monkeypatch.setenv("OPENPNS_ALGORITHM", "hmac-sha256")
    assert "accepted (hmac-sha256)" in run_anywhere("doctor").out


@on_sqlite_only
def test_permission_step_reports_restrictions_of_the_key(
    run_anywhere: Run, server: SharedServer
) -> None:
    keys = ("key-of-cus-1", "--database", server.url, "--only")
    run_anywhere("keys", "set-actions", *keys, "getLimits")
    step, detail, advice = _failed(run_anywhere("doctor", "--json", code=4))
    assert (step, "may only use getLimits" in detail) == ("permission", True)
    assert "the actions and addresses of the key" in advice
    run_anywhere("keys", "set-addresses", *keys, "192.0.2.1")
    assert "may not be used from this address" in run_anywhere("doctor", "--json", code=4).out


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A port that does a TLS handshake with a self-signed certificate, then closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path / "cert.pem"))
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            with plain:
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def _certificate(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=5, hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(pem))
    return file


def test_tls_step_reports_an_untrusted_certificate(
    run_anywhere: Run, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _doctor(run_anywhere, f"https://127.0.0.1:{tls_port}", monkeypatch, 6)
    step, detail, advice = _failed(done)
    assert step == "tls"
    assert "certificate" in detail
    assert "SSL_CERT_FILE" in advice


def test_tls_step_prints_version_and_expiry(
    run_anywhere: Run, tls_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    done = _doctor(run_anywhere, f"https://127.0.0.1:{tls_port}", monkeypatch, 6)
    steps = {step["step"]: step for step in done.json["steps"]}
    assert steps["tls"]["state"] == "ok"
    assert steps["tls"]["detail"].startswith("TLSv1.3, certificate valid until 2")
    assert steps["tls"]["detail"].endswith("only 5 days left")
    assert steps["http"]["state"] == "failed"
