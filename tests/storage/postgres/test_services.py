from pathlib import Path

import pytest

from openpns.errors import ConfigError
from openpns.storage.postgres.services import read_service


def test_service_is_read_as_libpq_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text(
        "# [a]\nnot in a service\n[a b]\nuser=other\n  [a]\n\n  # user=nobody\n"
        "  host=h\noptions=-c x=1 \npassword=p%#;=\nhost=second\n[DEFAULT]\nuser=d\n[a]\nport=1\n"
    )
    environ = {"PGSERVICEFILE": str(file)}
    assert read_service("a", environ) == {"host": "h", "options": "-c x=1", "password": "p%#;="}
    assert read_service("a b", environ) == {"user": "other"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[b]\nhost=a", "no service 'a' in .*; PGSERVICEFILE names the file"),
        (b"[a]\npassword geheim", "services is not a file of PostgreSQL services"),
        (b"[a]\nuser=\xff", "services is not a file of PostgreSQL services"),
        (b"[a]\nservice=b\n[b]", "service 'a' in .* may not name another service"),
    ],
)
def test_service_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, named: str) -> None:
    file = tmp_path / "services"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=named) as caught:
        read_service("a", {"PGSERVICEFILE": str(file)})
    assert "geheim" not in str(caught.value)


def test_file_of_services_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no service 'a' in .*/gone"):
        read_service("a", {"PGSERVICEFILE": str(tmp_path / "gone")})
    with pytest.raises(ConfigError, match=r"cannot read .* .Is a directory"):
        read_service("a", {"PGSERVICEFILE": str(tmp_path)})
