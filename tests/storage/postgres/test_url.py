from pathlib import Path
from urllib.parse import quote

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


@pytest.mark.parametrize("place", ["h:0", "h:65536", "h:x", "h:1:2", "[::1", "h h"])
def test_wrong_host_or_port_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="cannot connect to PostgreSQL"):
        read_url(f"postgresql://u@{place}/n", {})


def test_service_is_left_to_the_driver_if_its_file_has_it(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[pns]\nhost=a\npassword=geheim%\n")
    environ = {"PGSERVICEFILE": str(file), "PGHOST": "b"}
    for url, more in (("?service=pns", {}), ("", {"PGSERVICE": "pns"})):
        target = read_url(f"postgresql:///n{url}", environ | more)
        assert target.hosts == [Host(None, None)]
        assert target.dsn.endswith("/n?service=pns")
    with pytest.raises(ConfigError, match=f"no service 'other' in {file}"):
        read_url("postgresql:///n?service=other", environ)
    file.write_text("host=a\n")
    with pytest.raises(ConfigError, match=f"{file} is not a file of PostgreSQL services"):
        read_url("postgresql:///n?service=pns", environ)
