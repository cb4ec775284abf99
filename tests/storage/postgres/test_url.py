from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from openpns.errors import ConfigError
from openpns.storage.postgres.url import Host, read_url

SECRETS = ("geh", "eim")
PASSWORD = "geh@/#?%:[&eim"


@pytest.mark.parametrize("special", ["@", "/", "#", "?", "%", "[", "@x/y#z?"])
@pytest.mark.parametrize("end", ["", "?sslmode=require"])
def test_password_that_is_not_encoded_is_refused_without_any_part_of_it(
    special: str, end: str
) -> None:
    url = f"postgresql://user:geh{special}eim@db.example.com:5432/name{end}"
    with pytest.raises(ConfigError, match="percent-encode") as caught:
        read_url(url, {})
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("special", ["/", "?", "#"])
def test_password_that_could_begin_with_a_port_is_refused(special: str) -> None:
    with pytest.raises(ConfigError, match="percent-encode") as caught:
        read_url(f"postgresql://user:5432{special}eim@db.example.com/name", {})
    assert "5432" not in str(caught.value).replace("5432/name", "")


def test_encoded_password_is_left_to_the_driver() -> None:
    url = f"postgresql://user:{quote(PASSWORD, safe='')}@db.example.com/name"
    target = read_url(url, {})
    assert target.dsn == url.replace("db.example.com", "")
    assert target.hosts == [Host("db.example.com", 5432)]


@pytest.mark.parametrize(
    ("url", "environ", "hosts"),
    [
        ("postgresql://u@h/n", {}, [Host("h", 5432)]),
        ("postgresql://u@h/n", {"PGPORT": "6000", "PGHOST": "x"}, [Host("h", 6000)]),
        ("postgres://u@h:1,[::1]:2,k/n", {}, [Host("h", 1), Host("::1", 2), Host("k", 5432)]),
        ("postgresql://u@%2Frun%2Fpg/n", {}, [Host("/run/pg", 5432)]),
        (
            "postgresql://u@%2Frun%2Fpg:7,%2Fa%3A%20b/n",
            {},
            [Host("/run/pg", 7), Host("/a: b", 5432)],
        ),
        ("postgresql://u@[fe80::1%25eth0]:7/n", {}, [Host("fe80::1%eth0", 7)]),
        ("postgresql:///n?host=/a: b&port=7", {}, [Host("/a: b", 7)]),
        ("postgresql:///n?host=[::1]", {"PGHOST": "b"}, [Host("::1", 5432)]),
        ("postgresql:///n?host=/run/pg&port=7", {}, [Host("/run/pg", 7)]),
        ("postgresql:///n?host=a,::1&port=7,8", {}, [Host("a", 7), Host("::1", 8)]),
        ("postgresql:///n", {"PGHOST": "a,b", "PGPORT": "7,8"}, [Host("a", 7), Host("b", 8)]),
        ("postgresql:///n", {}, [Host(None, None)]),
    ],
)
def test_hosts_are_those_that_libpq_finds(
    url: str, environ: dict[str, str], hosts: list[Host]
) -> None:
    assert read_url(url, environ).hosts == hosts


def test_parameters_come_from_the_url_then_from_the_variables() -> None:
    url = "postgresql://u@h/n?sslmode=require&application_name=a%20b&options=-c%20x%3D1+2"
    environ = {"PGAPPNAME": "other", "PGCONNECT_TIMEOUT": "3", "PGTARGETSESSIONATTRS": "read-write"}
    target = read_url(url, environ)
    assert target.dsn == "postgresql://u@/n?sslmode=require"
    assert target.server_settings == {"application_name": "a b", "options": "-c x=1+2"}
    assert target.connect_timeout_s == 3
    assert target.is_read_write
    plain = read_url("postgresql://u@h/n?channel_binding=prefer&gssencmode=disable", {})
    assert plain.dsn == "postgresql://u@/n"
    assert plain.server_settings == {"application_name": "openpns"}
    assert plain.connect_timeout_s is None
    assert not plain.is_read_write


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("foo=1", "unknown parameter 'foo'.*allowed are application_name"),
        ("keepalives=1", "unknown parameter 'keepalives'"),
        ("search_path=x", "options=-c"),
        ("channel_binding=require", "channel_binding=require.*disable, prefer"),
        ("gssencmode=require", "gssencmode=require"),
        ("connect_timeout=x", "connect_timeout"),
        ("target_session_attrs=any", "primary or read-write"),
        ("sslmode", "cannot be read"),
        ("host=a,b&port=1,2,3", "2 hosts but 3 ports"),
        ("host=a&port=x", "1 to 65535"),
    ],
)
def test_parameter_that_cannot_be_respected_is_named(query: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_url(f"postgresql://u:geheim@/n?{query}", {})
    assert "geheim" not in str(caught.value)


def test_name_that_may_be_the_end_of_a_password_is_not_shown() -> None:
    for name in ("password", "sslpassword", "pass%77ord"):
        with pytest.raises(ConfigError, match="percent-encode") as caught:
            read_url(f"postgresql://u@h/n?{name}=geh&eim=x", {})
        assert "eim" not in str(caught.value)
    assert read_url("postgresql://u@h/n?password=x&sslmode=require", {}).hosts


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PGCHANNELBINDING", "require", "PGCHANNELBINDING cannot .*; allowed are disable, prefer"),
        ("PGGSSENCMODE", "require", "PGGSSENCMODE cannot be respected; allowed are"),
        ("PGHOSTADDR", "192.0.2.1", "PGHOSTADDR cannot be respected; leave it out"),
        ("PGREQUIREAUTH", "scram-sha-256", "PGREQUIREAUTH"),
        ("PGREQUIREPEER", "postgres", "PGREQUIREPEER"),
    ],
)
def test_variable_that_cannot_be_respected_is_named(variable: str, value: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_url("postgresql://u@h/n", {variable: value})
    assert read_url("postgresql://u@h/n", {variable: ""}).hosts


def test_parameter_of_the_url_counts_before_a_variable_that_is_refused() -> None:
    environ = {"PGCHANNELBINDING": "require", "PGGSSENCMODE": "prefer"}
    assert read_url("postgresql://u@h/n?channel_binding=disable", environ).hosts


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_file_of_tls_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a b"
    url = "postgresql://u@h/n?sslmode=require"
    for sent, environ in ((f"&{name}={file}", {}), ("", {f"PG{name.upper()}": str(file)})):
        with pytest.raises(ConfigError, match=f"{name}: cannot read {file} .No such file"):
            read_url(url + sent, environ)
        assert read_url(f"postgresql://u@h/n?sslmode=disable{sent}", environ).hosts
    file.touch()
    assert read_url(f"{url}&{name}={file}", {}).hosts


def test_certificates_of_the_system_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="sslrootcert=system cannot be respected"):
        read_url("postgresql://u@h/n?sslmode=verify-full&sslrootcert=system", {})


@pytest.mark.parametrize("place", ["h:0", "h:65536", "h:x", "h:1:2", "[::1", "h h"])
def test_wrong_host_or_port_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="cannot connect to PostgreSQL"):
        read_url(f"postgresql://u@{place}/n", {})


@pytest.mark.parametrize(
    "url", ["postgresql:///", "postgresql://", "postgresql://u@h/", "postgres:"]
)
def test_url_without_a_database_leaves_it_to_the_variables(url: str) -> None:
    dsn = read_url(url, {}).dsn
    assert not urlsplit(dsn).path
    assert urlsplit(dsn).scheme.startswith("postgres")


@pytest.fixture
def services(tmp_path: Path) -> dict[str, str]:
    """Variables that name a file of services."""
    file = tmp_path / "services"
    file.write_text(
        "[pns]\nhost=a\nport=7\nuser=v\ndbname=m\npassword=geheim%\nsslmode=require\n"
        "connect_timeout=4\napplication_name=x\noptions=-c a=1\ntarget_session_attrs=read-write\n"
        "[wrong]\nkeepalives=1\n[bound]\nchannel_binding=require\n"
    )
    return {"PGSERVICEFILE": str(file), "PGHOST": "b", "PGPORT": "8", "PGAPPNAME": "y"}


@pytest.mark.parametrize(
    ("url", "more"), [("postgresql:///?service=pns", {}), ("postgresql://", {"PGSERVICE": "pns"})]
)
def test_service_counts_before_the_variables(
    services: dict[str, str], url: str, more: dict[str, str]
) -> None:
    target = read_url(url, services | more)
    assert target.hosts == [Host("a", 7)]
    assert target.server_settings == {"application_name": "x", "options": "-c a=1"}
    assert target.connect_timeout_s == 4
    assert target.is_read_write
    assert parse_qs(urlsplit(target.dsn).query) == {
        "user": ["v"], "dbname": ["m"], "password": ["geheim%"], "sslmode": ["require"],
    }  # fmt: skip


def test_url_counts_before_its_service(services: dict[str, str]) -> None:
    url = "postgresql://u:p@h/n?service=pns&sslmode=verify-full&application_name=z&port=9"
    target = read_url(url, services)
    assert target.hosts == [Host("h", 9)]
    assert target.server_settings["application_name"] == "z"
    assert target.dsn.startswith("postgresql://u:p@/n?")
    assert parse_qs(urlsplit(target.dsn).query)["sslmode"] == ["verify-full"]
    assert read_url("postgresql://h/n?service=pns", services).hosts == [Host("h", 7)]


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ("other", "no service 'other' in .*services; PGSERVICEFILE names the file"),
        ("wrong", "unknown parameter 'keepalives' of service 'wrong'"),
        ("bound", "channel_binding=require of service 'bound' cannot be respected"),
    ],
)
def test_service_that_cannot_be_respected_is_named(
    services: dict[str, str], service: str, named: str
) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_url(f"postgresql:///n?service={service}", services)
    assert "geheim" not in str(caught.value)
