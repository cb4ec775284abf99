import re
from pathlib import Path
from typing import Any

import pytest

import openpns
from openpns.errors import ConfigError
from openpns.server.config import load_settings, unknown_variables
from openpns.server.settings import FIELDS

URL = "sqlite:///a.db"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "openpns.toml"


def test_load_settings_requires_database_only() -> None:
    settings = load_settings({"database": URL}, {})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.admin_port is None


def test_load_settings_names_sources_of_missing_database() -> None:
    with pytest.raises(ConfigError, match="--database or OPENPNS_DATABASE") as error:
        load_settings({}, {})
    assert "sqlite:///relative.db" in str(error.value)


def test_load_settings_prefers_argument_then_variable_then_file(config: Path) -> None:
    config.write_text(f'database = "{URL}"\nport = 1\nworkers = 1\nshutdown_grace_s = 1\n')
    environ = {"OPENPNS_PORT": "2", "OPENPNS_WORKERS": "2"}
    environ |= {"OPENPNS_WORKER_TIMEOUT_MS": "2048", "OPENPNS_CORE_DUMPS": "on"}
    settings = load_settings({"port": "3", "workers": None}, environ, str(config))
    assert (settings.port, settings.workers, settings.shutdown_grace_s) == (3, 2, 1)


def test_load_settings_prefers_file_of_argument_to_file_of_variable(
    config: Path, tmp_path: Path
) -> None:
    config.write_text(f'database = "{URL}"\nport = 1\n')
    environ = {"OPENPNS_CONFIG": str(config)}
    assert load_settings({}, environ).port == 1
    other = tmp_path / "other.toml"
    other.write_text(f'database = "{URL}"\nport = 2\n')
    assert load_settings({}, environ, str(other)).port == 2


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("port", "http", "an integer from 0 to 65535"),
        ("port", "65536", "an integer from 0 to 65535"),
        ("port", "-1", "an integer from 0 to 65535"),
        ("workers", "0", "an integer from 1 to 256"),
        ("workers", "1.5", "an integer from 1 to 256"),
        ("admin_port", "x", "an integer from 0 to 65535"),
        ("shutdown_grace_s", "0", "an integer from 1 to 3600"),
        ("log_format", "xml", "one of console, json"),
        ("log_level", "INFO", "one of debug, info, warning, error"),
    ],
)
def test_load_settings_names_invalid_value_source_and_allowed_values(
    name: str, value: str, allowed: str
) -> None:
    option, variable = f"--{name.replace('_', '-')}", f"OPENPNS_{name.upper()}"
    given: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({"database": URL, name: value}, {}, option),
        ({"database": URL}, {variable: value}, variable),
    ]
    for arguments, environ, source in given:
        with pytest.raises(ConfigError) as error:
            load_settings(arguments, environ)
        assert str(error.value) == (
            f"{name}: {value!r} (from {source}) is not allowed; allowed is {allowed}"
        )


@pytest.mark.parametrize("value", ["true", "[1]", "8080.5", '"x"'])
def test_load_settings_names_file_of_invalid_value(config: Path, value: str) -> None:
    config.write_text(f"port = {value}\n")
    with pytest.raises(ConfigError, match=r"port: .*openpns\.toml.*0 to 65535"):
        load_settings({"database": URL}, {}, str(config))


def test_load_settings_hides_invalid_database(config: Path) -> None:
    config.write_text('database = ["postgresql://u:hunter22@h/d"]\n')
    config.chmod(0o600)
    with pytest.raises(ConfigError, match="database: the value") as error:
        load_settings({}, {}, str(config))
    assert "hunter22" not in str(error.value)


def test_load_settings_refuses_unknown_setting_in_file(config: Path) -> None:
    config.write_text("prot = 1\n")
    with pytest.raises(
        ConfigError, match=r"openpns\.toml: unknown setting 'prot'; allowed are data"
    ):
        load_settings({"database": URL}, {}, str(config))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"port: 1\n", "line 1, column 5: not TOML"),
        (b"workers = 1\nport = 18x\n", "line 2, column 10: not TOML"),
        (b"port =", "end of document: not TOML"),
        (b"port = 1\nport = 2\n", "line 2, column"),
        (b"host = '\xff'\n", "line 1: is not UTF-8"),
        ("port = 1".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_load_settings_says_where_a_file_is_not_toml(
    config: Path, content: bytes, why: str
) -> None:
    config.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"openpns\.toml: {why}"):
        load_settings({"database": URL}, {}, str(config))


def test_load_settings_accepts_a_byte_order_mark(config: Path) -> None:
    config.write_bytes(b"\xef\xbb\xbfport = 1\r\n")
    assert load_settings({"database": URL}, {}, str(config)).port == 1


def test_every_variable_of_the_code_is_known() -> None:
    files = Path(openpns.__file__).parent.rglob("*.py")
    used = {
        name for file in files for name in re.findall(r"\bOPENPNS_[A-Z_]+[A-Z]", file.read_text())
    }
    assert {"OPENPNS_MASTER_KEY", "OPENPNS_PROFILE"} <= used
    assert unknown_variables(dict.fromkeys(used, "1")) == {}


def test_load_settings_refuses_unreadable_file(config: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the settings"):
        load_settings({"database": URL}, {}, str(config))


def test_load_settings_reads_all_settings_from_environment() -> None:
    environ = {f"OPENPNS_{field.name.upper()}": "1024" for field in FIELDS}
    environ |= {"OPENPNS_LOG_FORMAT": "json", "OPENPNS_LOG_LEVEL": "error", "OPENPNS_WORKERS": "2"}
    environ |= {"OPENPNS_TRUSTED_PROXIES": "10.0.0.0/8"}
    environ |= {"OPENPNS_WEBHOOK_HTTP_ALLOWED": "on", "OPENPNS_WEBHOOK_WORKER": "off"}
    environ |= {"OPENPNS_WEBHOOK_NETWORKS_ALLOWED": "::1", "OPENPNS_WEBHOOK_TIME_ZONE": "-03:30"}
    environ |= {"OPENPNS_WEBHOOK_SCHEDULE": "exponential"}
    environ |= {"OPENPNS_WORKER_TIMEOUT_MS": "2048", "OPENPNS_CORE_DUMPS": "on"}
    settings = load_settings({}, environ | {"OPENPNS_POSTGRES_CONNECTIONS_MAX": "7"})
    assert settings.log_level == "error"
    assert settings.postgres_connections_max == 7
    assert settings.body_bytes_max == 1024


def test_load_settings_checks_the_networks_of_trusted_proxies() -> None:
    given = {"OPENPNS_DATABASE": "sqlite:///a.db", "OPENPNS_TRUSTED_PROXIES": "10.0.0.1, ::1"}
    assert load_settings({}, given).trusted_proxies == "10.0.0.1, ::1"
    with pytest.raises(ConfigError, match=r"trusted_proxies: '10.0.0.1/8' \(from OPENPNS_TRUSTED"):
        load_settings({}, given | {"OPENPNS_TRUSTED_PROXIES": "10.0.0.1/8"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook_networks_allowed", "10.0.0.1/8"),
        ("webhook_networks_allowed", "localhost"),
        ("webhook_time_zone", "8"),
        ("webhook_time_zone", "+24:00"),
        ("webhook_schedule", "hourly"),
        ("webhook_requests_max", "3"),
        ("deliveries_kept_days", "-1"),
    ],
)
def test_load_settings_checks_the_settings_of_webhooks(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: '.*' .* is not allowed; allowed is "):
        load_settings({"database": URL, name: value}, {})


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("postgresql://u:hunter22@h/d", True),
        ("postgresql://u:hunter22@h1:1,h2:2/d", True),
        ("postgresql://h/d?user=u&password=hunter22", True),
        ("postgresql://h/d?pass%77ord=hunter22", True),
        ("postgresql://u:%2Fhunter22@h/d", True),
        ("postgresql://u@h:5432/d", False),
        ("sqlite:////var/lib/openpns.db", False),
    ],
)
def test_load_settings_refuses_file_with_a_password_that_others_can_read(
    config: Path, url: str, *, is_refused: bool
) -> None:
    config.write_text(f'database = "{url}"\n')
    config.chmod(0o600)
    assert load_settings({}, {}, str(config)).database == url
    config.chmod(0o644)
    if not is_refused:
        assert load_settings({}, {}, str(config)).database == url
        return
    with pytest.raises(ConfigError, match="holds a database password, but others") as error:
        load_settings({}, {}, str(config))
    assert "hunter22" not in str(error.value)
