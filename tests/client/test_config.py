import traceback
from pathlib import Path

import httpx2
import pytest
from tests.client.fake_server import ACCESS_KEY, SECRET

from openpns.client.config import (
    Secret,
    api_url,
    config_file,
    host_and_path,
    load_config,
    load_profile,
)
from openpns.errors import ConfigError

URL = "https://pns.example.com"
OTHER_SECRET = "another-secret"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def write_profiles(home: Path, text: str) -> Path:
    file = home / "openpns" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return file


def profile(name: str, **settings: str) -> str:
    return f"[{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in settings.items())


FULL = {"base_url": URL, "access_key": ACCESS_KEY, "access_secret": SECRET}


def test_arguments_set_everything() -> None:
    config = load_config(URL, ACCESS_KEY, SECRET, timeout_s=3, retries=0)
    assert config.url == f"{URL}/api/pns/"
    assert (config.access_key, config.access_secret.reveal()) == (ACCESS_KEY, SECRET)
    assert (config.algorithm, config.timeout_s, config.retries) == ("md5", 3, 0)


def test_priority_is_argument_environment_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profiles(
        home,
        profile(
            "default",
            base_url="http://profile",
            access_key="profile-key",
            access_secret="profile-secret",
            algorithm="sha256",
        ),
    )
    monkeypatch.setenv("OPENPNS_BASE_URL", "http://environment")
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", "environment-key")
    config = load_config("http://argument")
    assert config.url == "http://argument/api/pns/"
    assert config.access_key == "environment-key"
    assert config.access_secret.reveal() == "profile-secret"
    assert config.algorithm == "sha256"


def test_environment_sets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (FULL | {"algorithm": "sha256"}).items():
        monkeypatch.setenv(f"OPENPNS_{name.upper()}", value)
    config = load_config()
    assert (config.access_secret.reveal(), config.algorithm) == (SECRET, "sha256")


def test_empty_variable_sets_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profiles(home, profile("default", **FULL))
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", "")
    assert load_config().access_key == ACCESS_KEY


def test_profile_name_comes_from_argument_then_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("default", "staging", "live")
    write_profiles(
        home,
        "".join(profile(name, **FULL | {"access_key": f"{name}-key"}) for name in names),
    )
    assert load_config().access_key == "default-key"
    monkeypatch.setenv("OPENPNS_PROFILE", "staging")
    assert load_config().access_key == "staging-key"
    assert load_config(profile="live").access_key == "live-key"
    monkeypatch.setenv("OPENPNS_ACCESS_KEY", "environment-key")
    assert load_config(profile="live").access_key == "environment-key"


def test_config_file_is_in_dot_config_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_file() == tmp_path / ".config" / "openpns" / "config.toml"


def test_broken_file_is_not_read_if_nothing_is_missing(home: Path) -> None:
    write_profiles(home, "this is not TOML")
    assert load_config(URL, ACCESS_KEY, SECRET).access_key == ACCESS_KEY


def test_user_without_home_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert load_config(URL, ACCESS_KEY, SECRET).access_key == ACCESS_KEY
    with pytest.raises(ConfigError, match="no home directory; set XDG_CONFIG_HOME"):
        load_config(URL)


def test_missing_settings_are_named_with_all_ways_to_set_them(home: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(URL)
    assert str(raised.value) == (
        "access_key, access_secret: not set; give it as an argument, as OPENPNS_ACCESS_KEY, "
        f"OPENPNS_ACCESS_SECRET, or in the profile 'default' of {home}/openpns/config.toml"
    )


def test_missing_profile_is_an_error(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"profile 'live': not in .*; there are none"):
        load_config(URL, ACCESS_KEY, SECRET, profile="live")
    write_profiles(home, 'base_url = "http://top"\n' + profile("default", **FULL))
    with pytest.raises(ConfigError, match=r"profile 'live': not in .*; there are default$"):
        load_profile("live")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[default", r"config\.toml: end of document: not TOML"),
        ("[default]\naccess_key = x", r"config\.toml: line 2, column 14: not TOML"),
        ("[default]\nsecret = 'x'", r"default: secret: is not a setting; .* the texts base_url"),
        ("[default]\naccess_key = 1", r"default: access_key: is a number; allowed is a text"),
        ("[default]\naccess_secret = 12345", r"default: access_secret: is a number; allowed is"),
        ("[default]\naccess_key = [1]", r"default: access_key: is an array; allowed is a text"),
        ("[default]\ntimeout_s = true", r"timeout_s: is true or false; allowed is a number"),
        ("default = 'x'", r"profile 'default': not in"),
    ],
)
def test_wrong_file_is_an_error(home: Path, text: str, problem: str) -> None:
    file = write_profiles(home, text)
    with pytest.raises(ConfigError, match=problem) as raised:
        load_config(URL)
    assert str(file) in str(raised.value)


def test_file_that_is_not_text_is_an_error(home: Path) -> None:
    write_profiles(home, "").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"config\.toml: line 1: is not UTF-8"):
        load_config(URL)


def test_unreadable_file_is_an_error(home: Path) -> None:
    (home / "openpns" / "config.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"cannot read it \(Is a directory\)"):
        load_config(URL)


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://pns.example.com", "https://pns.example.com/api/pns/"),
        ("https://pns.example.com/", "https://pns.example.com/api/pns/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/pns/"),
        ("http://[::1]:8080", "http://[::1]:8080/api/pns/"),
        ("https://pns.example.com/v1/api/pns/", "https://pns.example.com/v1/api/pns/"),
        ("https://pns.example.com/api/pns", "https://pns.example.com/api/pns"),
    ],
)
def test_api_url_adds_the_path_if_there_is_none(base_url: str, url: str) -> None:
    assert api_url(base_url) == url


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "pns.example.com",
        "ftp://pns.example.com",
        "http://",
        "http://:8080",
        "http://[::1",
        "http://host:99999",
        "http://host:port",
        " http://host",
        "http://host\n",
        f"https://user:{OTHER_SECRET}@pns.example.com",
        f"https://pns.example.com/?key={OTHER_SECRET}",
        "https://pns.example.com/#part",
    ],
)
def test_wrong_base_url_is_an_error(base_url: str) -> None:
    with pytest.raises(ConfigError, match=r"^base_url: ") as raised:
        load_config(base_url, ACCESS_KEY, SECRET)
    assert OTHER_SECRET not in str(raised.value)


@pytest.mark.parametrize("name", ["access_key", "access_secret"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "it is empty"),
        ("some-secret\n", "white space at its beginning or end"),
        (" some-secret", "white space at its beginning or end"),
        ("some\nsecret", "allowed are printable ASCII characters"),
        ("钥匙", "allowed are printable ASCII characters"),
        ("\ud800", "allowed are printable ASCII characters"),
    ],
)
def test_wrong_key_or_secret_is_an_error(name: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(**(FULL | {name: value}))  # type: ignore[arg-type]
    assert str(raised.value).startswith(f"{name}: {problem}")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"algorithm": "sha1"}, "algorithm: allowed are md5, sha256, hmac-sha256"),
        ({"algorithm": ""}, "algorithm: allowed are md5, sha256, hmac-sha256"),
        ({"timeout_s": 0}, "timeout_s: allowed is a number of seconds from 0.001 to 86400"),
        ({"deadline_s": float("inf")}, "deadline_s: allowed is a number of seconds from 0.001"),
        ({"response_bytes_max": 0}, "response_bytes_max: allowed is a number of bytes from 1 to"),
        ({"clock_skew_s_max": -1}, "clock_skew_s_max: allowed is a number of seconds from 0 to"),
        ({"timeout_s": float("nan")}, "timeout_s: allowed is"),
        ({"timeout_s": True}, "timeout_s: allowed is"),
        ({"timeout_s": [1]}, "timeout_s: allowed is"),
        ({"retries": -1}, "retries: allowed is an integer, 0 or more"),
        ({"retries": "2"}, "retries: allowed is an integer, 0 or more"),
        ({"retries": None}, "retries: allowed is an integer, 0 or more"),
        ({"retries": True}, "retries: allowed is an integer, 0 or more"),
        ({"access_key": b"a-key"}, "access_key: allowed is a text, not bytes"),
        ({"access_key": 7}, "access_key: allowed is a text, not int"),
        ({"access_secret": SECRET.encode()}, "access_secret: allowed is a text, not bytes"),
        ({"base_url": b"https://a"}, "base_url: allowed is an http or https URL such as"),
        ({"base_url": 7}, "base_url: allowed is an http or https URL such as"),
        ({"base_url": []}, "base_url: allowed is an http or https URL such as"),
        ({"base_url": {}}, "base_url: allowed is an http or https URL such as"),
    ],
)
def test_wrong_setting_is_an_error(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_config(**(FULL | settings))  # type: ignore[arg-type]


def test_numbers_come_from_argument_environment_or_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(**FULL)
    assert (config.timeout_s, config.deadline_s, config.clock_skew_s_max) == (30, 300, 300)
    assert config.response_bytes_max == 256 * 1024 * 1024
    write_profiles(home, profile("default", **FULL) + "deadline_s = 2\nresponse_bytes_max = 3\n")
    assert load_config().response_bytes_max == 3
    monkeypatch.setenv("OPENPNS_DEADLINE_S", "2.5")
    assert load_config().deadline_s == 2.5
    assert load_config(deadline_s=0.5).deadline_s == 0.5
    monkeypatch.setenv("OPENPNS_DEADLINE_S", "soon")
    with pytest.raises(ConfigError, match="deadline_s: allowed is a number of seconds"):
        load_config()
    for wrong in ('"2"', "true"):
        write_profiles(home, profile("default", **FULL) + f"deadline_s = {wrong}\n")
        with pytest.raises(ConfigError, match=r"deadline_s: is .*; allowed is a number"):
            load_config()


@pytest.mark.parametrize(
    ("base_url", "is_exposed"),
    [
        ("http://pns.example.com", True),
        ("http://192.168.1.1:8080", True),
        ("http://localhost.example.com", True),
        ("http://0.0.0.0:1", True),
        ("http://127.0.0.1:8080", False),
        ("http://127.8.8.8", False),
        ("http://[::1]:8080", False),
        ("http://localhost:8080", False),
        ("http://LOCALHOST", False),
        ("http://pns.localhost", False),
        ("https://pns.example.com", False),
    ],
)
def test_plain_http_to_another_machine_is_exposed(base_url: str, *, is_exposed: bool) -> None:
    assert load_config(base_url, ACCESS_KEY, SECRET).is_exposed is is_exposed


def test_profile_with_a_secret_must_be_private(home: Path) -> None:
    file = write_profiles(home, profile("default", **FULL))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=rf"^{file}: holds an access secret, but others"):
        load_config()
    assert SECRET not in _shown_failure()
    without_secret = {"base_url": URL, "access_key": ACCESS_KEY}
    write_profiles(home, profile("default", **without_secret)).chmod(0o644)
    assert load_config(access_secret=SECRET).access_key == ACCESS_KEY


def test_repr_does_not_show_the_secret() -> None:
    config = load_config(URL, ACCESS_KEY, SECRET)
    assert SECRET not in f"{config} {config!r} {config.access_secret} {[Secret(SECRET)]}"
    assert config.access_secret.reveal() == SECRET


def _shown_failure() -> str:
    """A traceback as error trackers keep it: with all variables."""
    with pytest.raises(ConfigError) as raised:
        load_config()
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    return "".join(trace.format())


def test_traceback_of_a_wrong_setting_shows_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_ALGORITHM", "sha1")
    for text in (
        profile("default", **FULL),
        profile("default", access_secret=SECRET) + "[oops",
        profile("default", access_secret=SECRET, unknown="x"),
        profile("default", access_secret=SECRET).replace('"', ""),
        profile("other", access_secret=SECRET),
        profile("default", **FULL | {"base_url": "nothing"}),
        profile("default", **FULL | {"access_secret": f"{SECRET} "}),
    ):
        write_profiles(home, text)
        for from_environ in ("", OTHER_SECRET):
            monkeypatch.setenv("OPENPNS_ACCESS_SECRET", from_environ)
            shown = _shown_failure()
            assert "in load_config" in shown
            assert SECRET not in shown
            assert OTHER_SECRET not in shown


@pytest.mark.parametrize("text", ['"false"', "false"])
def test_retry_writes_comes_from_argument_environment_or_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert load_config(**FULL).retry_writes
    assert not load_config(**FULL, retry_writes=False).retry_writes
    monkeypatch.setenv("OPENPNS_RETRY_WRITES", "false")
    assert not load_config(**FULL).retry_writes
    assert load_config(**FULL, retry_writes=True).retry_writes
    monkeypatch.setenv("OPENPNS_RETRY_WRITES", "")
    write_profiles(home, profile("default", **FULL) + f"retry_writes = {text}\n")
    assert not load_config().retry_writes


def test_retry_writes_must_be_true_or_false(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPNS_RETRY_WRITES", "no")
    with pytest.raises(ConfigError, match="retry_writes: allowed are true and false"):
        load_config(**FULL)
    write_profiles(home, profile("default", **FULL) + "retry_writes = 1\n")
    with pytest.raises(ConfigError, match="retry_writes: is a number; allowed is true or false"):
        load_config(profile="default")


@pytest.mark.parametrize(
    "base_url",
    [
        "http://pns.test",
        "https://PNS.Example:443",
        "https://pns.example:8443/x/y",
        "http://[::1]:80/",
        "https://müller.de:8080/pns",
        "http://pns.test/ü b/%41b//",
        "http://pns.test/a/../b|[]",
    ],
)
def test_host_and_path_are_those_that_are_sent(base_url: str) -> None:
    url = api_url(base_url)
    sent = httpx2.Request("POST", httpx2.URL(url))
    assert host_and_path(url) == (sent.headers["host"], sent.url.raw_path.decode())
