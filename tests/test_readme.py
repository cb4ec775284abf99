"""The code in the README, in the SDK's page and in the page on signing runs unchanged."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helpers import on_sqlite_only
from tests.processes import KEY_OF, Start, client_environ, run_openpns
from tests.webhooks.vectors import RECORD, SECRET, UNBOUND

import openpns
from openpns import webhooks
from openpns.webhooks import signed_headers

ROOT = Path(__file__).parents[1]


def python_blocks(page: Path, heading: str) -> list[str]:
    """The Python code below a heading."""
    section = re.split(rf"^## {heading}$", page.read_text("utf-8"), flags=re.MULTILINE)[1]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run(code: str) -> list[str]:
    """Run code in a new process; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def settings(serve: Start, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A server, named by the environment."""
    environ = client_environ(serve())
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


@on_sqlite_only
def test_the_readmes_client_part_runs_as_written(settings: dict[str, str], served_url: str) -> None:
    (code,) = python_blocks(ROOT / "README.md", "Use it from Python")
    added = ["numbers", "add", "85200000001", "--customer", "cus_1"]
    assert run_openpns(*added, OPENPNS_DATABASE=served_url).returncode == 0
    group, refusal, call = run(code)
    assert group == "night shift 3"
    assert refusal.startswith("19001 Number group does not exist")
    assert call == "85200000001 connects them; it calls 85235753351"


@on_sqlite_only
def test_the_sdk_pages_code_runs_as_written(
    settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs" / "sdk.md"
    with openpns.Client() as pns:
        group_id = pns.groups.create(["85211111114"], "groupA")
    here = settings["OPENPNS_BASE_URL"], *KEY_OF["cus_1"]
    (first,) = python_blocks(page, "The first request")
    there = ("https://pns.example.com", "my-access-key", "my-secret")
    for written, real in zip(there, here, strict=True):
        assert written in first
        first = first.replace(written, real)
    assert run(first) == ["1 groups", f"{group_id} groupA 1"]

    (errors,) = python_blocks(page, "Errors")
    use = "\nwith openpns.Client() as pns:\n    add(pns, {!r}, {!r})\n"
    assert run(errors + use.format("none", ["85211111114"])) == ["this group was deleted"]
    (fix,) = run(errors + use.format(group_id, ["x"]))
    assert fix.startswith("fix the request: ")

    (own,) = python_blocks(page, "Your own transport")
    assert run(own) == []

    file = tmp_path / "openpns" / "config.toml"
    file.parent.mkdir()
    file.write_text('[live]\nalgorithm = "sha256"\n', "utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (with_asyncio,) = python_blocks(page, "Async")
    assert run(with_asyncio) == ["1", "groupA"]


def test_the_sdk_pages_receiver_runs_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENPNS_WEBHOOK_SECRET", SECRET)
    (receiver,) = python_blocks(ROOT / "docs" / "sdk.md", "Webhooks")
    sent = [
        (body, signed_headers(body.encode(), SECRET, message_id=f"msg_{number}"))
        for number, body in enumerate((RECORD["body"], UNBOUND["body"], RECORD["body"] + " "))
    ]
    sent[2] = (sent[2][0].strip(), sent[2][1])
    use = (
        f"\nfor body, headers in {[sent[0], *sent]!r}:\n    print(handle(body.encode(), headers))\n"
    )
    assert run(receiver + use) == [
        "1602262837283131392 35 NORMAL_CLEARING",
        "204",
        "204",
        "nobody was called at 2022-12-08 06:07:12+00:00",
        "204",
        "401",
    ]


def test_the_sdk_page_names_every_public_name_of_webhooks() -> None:
    page = (ROOT / "docs" / "sdk.md").read_text("utf-8")
    parts = {"Event", "WebhookEvent"}  # what the others have in common
    assert {name for name in webhooks.__all__ if name not in page} <= parts


@on_sqlite_only
def test_the_shell_program_of_the_signing_page_lists_groups(settings: dict[str, str]) -> None:
    page = (ROOT / "docs" / "api" / "signing.md").read_text("utf-8")
    section = page.split("## A whole request\n")[1]
    found = re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    program = found[1].replace("http://127.0.0.1:8080", settings["OPENPNS_BASE_URL"])
    environ = os.environ | {
        "ACCESS_KEY": settings["OPENPNS_ACCESS_KEY"],
        "ACCESS_SECRET": settings["OPENPNS_ACCESS_SECRET"],
    }
    done = subprocess.run(["sh", "-ec", program], env=environ, capture_output=True, check=True)
    envelope = json.loads(done.stdout)
    assert (envelope["code"], envelope["data"]) == (0, {"groups": [], "total": 0})


def test_the_sdk_page_names_every_method_and_every_error() -> None:
    page = (ROOT / "docs" / "sdk.md").read_text("utf-8")
    methods = [name for name in dir(openpns.Client("https://a", "k", "s").groups) if name[0] != "_"]
    assert [name for name in methods if name != "client" and f"`groups.{name}(" not in page] == []
    kinds = [value for value in vars(openpns).values() if isinstance(value, type)]
    errors = {kind.__name__ for kind in kinds if issubclass(kind, openpns.OpenPNSError)}
    assert {name for name in errors if f"`{name}`" not in page} == {"MethodNotAllowed"}
    for name in ("base_url", "access_key", "access_secret", "algorithm", "profile"):
        assert f"`OPENPNS_{name.upper()}`" in page
