"""`openpns webhooks set|rotate-secret|disable|enable|show`, on the database."""

import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.cli.webhooks.conftest import URL, Database
from tests.helpers import on_sqlite_only

from openpns.cli.streams import OutputFailed
from openpns.cli.webhooks import operate

SET = ("webhooks", "set", "--customer", "cus_1", "--url", URL)
CUSTOMERS = ("customers", "list")
SHOW = ("webhooks", "show", "--customer", "cus_1")


def test_set_shows_a_new_secret_once(openpns: Run) -> None:
    done = openpns(*SET)
    (secret,) = re.findall(r"^secret +(whsec_\S{44})$", done.out, re.MULTILINE)
    assert done.err == "Give the secret to the receiver now: it is not shown again.\n"
    again = openpns(*SET)
    assert again.err == ""
    for shown in (again, openpns(*SHOW), openpns(*SHOW, "--json")):
        assert secret not in shown.out + shown.err
        assert URL in shown.out


def test_set_prints_json(openpns: Run) -> None:
    made = openpns(*SET, "--kinds", "unboundCall", "--json").json
    assert list(made) == ["customerId", "url", "secret"]
    changed = openpns(*SET[:-1], f"{URL}/2", "--json").json
    assert (changed["url"], changed["kinds"]) == (f"{URL}/2", ["unboundCall"])
    assert "secret" not in changed


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ((*SET[:-1], "http://example.com/"), 2, "webhook_http_allowed"),
        ((*SET[:-1], "https://user:hunter2@example.com/"), 2, "must have no user and password"),
        ((*SET, "--kinds", "calls"), 2, "allowed are callRecord, unboundCall"),
        (("webhooks", "set", "--customer", "cus_9", "--url", URL), 3, "'cus_9': not found"),
        (("webhooks", "rotate-secret", "--customer", "cus_1"), 3, "has no webhook"),
        (("webhooks", "rotate-secret", "--customer", "cus_1", "--grace", "1"), 2, "such as 24h"),
        (("webhooks", "disable", "--customer", "cus_1"), 3, "has no webhook"),
        (SHOW, 3, "has no webhook; set one with: openpns webhooks set"),
        ((*SHOW, "--profile", "x"), 2, "cannot be combined with a server"),
    ],
)
def test_wrong_values_are_refused(
    openpns: Run, arguments: tuple[str, ...], code: int, why: str
) -> None:
    done = openpns(*arguments, code=code)
    assert why in done.err
    assert "hunter2" not in done.err


@on_sqlite_only
def test_http_url_is_set_if_the_setting_allows_it(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENPNS_WEBHOOK_HTTP_ALLOWED", "on")
    assert openpns(*SET[:-1], "http://127.0.0.1:9/", "--json").json["url"] == "http://127.0.0.1:9/"


@on_sqlite_only
@pytest.mark.parametrize(
    ("host", "allowed", "is_noted"),
    [
        ("127.0.0.1:9", None, True),
        ("localhost", None, True),
        ("[fd00:ec2::254]", None, True),
        ("[::ffff:10.0.0.1]", "127.0.0.0/8", True),
        ("10.0.0.1", "10.0.0.0/8", False),
        ("hooks.example.com", None, False),
    ],
)
def test_address_that_workers_refuse_is_noted(
    openpns: Run, monkeypatch: pytest.MonkeyPatch, host: str, allowed: str | None, is_noted: bool
) -> None:
    if allowed is not None:
        monkeypatch.setenv("OPENPNS_WEBHOOK_NETWORKS_ALLOWED", allowed)
    done = openpns(*SET[:-1], f"https://{host}/")
    assert ("is not connected to (" in done.err) == is_noted
    assert "whsec_" in done.out


def test_rotation_says_how_long_the_old_secret_is_in_force(hooked: Run) -> None:
    rotate = ("webhooks", "rotate-secret", "--customer", "cus_1")
    first = hooked(*rotate)
    assert re.search(r"^old secret until  20\d\d-", hooked(*SHOW).out, re.MULTILINE)
    assert re.search(r"^secret +whsec_", first.out, re.MULTILINE)
    assert re.search(r"the old secret is in force until 20\d\d-", first.err)
    assert "grace: allowed are 0 to 30 days" in hooked(*rotate, "--grace", "31d", code=2).err
    second = hooked(*rotate, "--grace", "0s", "--json")
    assert "the old secret is not in force any more" in second.err
    assert second.json["secret"] not in first.out
    assert "old secret until  -\n" in hooked(*SHOW).out


def test_disable_and_enable(hooked: Run) -> None:
    assert "state             disabled" in hooked("webhooks", "disable", "--customer", "cus_1").out
    assert "it is disabled; to send events again" in hooked(*SET).err
    enabled = hooked("webhooks", "enable", "--customer", "cus_1", "--json")
    assert enabled.json["state"] == "active"
    assert "openpns webhooks resend --since TIME" in enabled.err


def test_state_that_is_set_already_changes_nothing(hooked: Run) -> None:
    kept = hooked("webhooks", "enable", "--customer", "cus_1")
    assert kept.err == "nothing was changed: the webhook was active already\n"
    assert hooked("webhooks", "disable", "--customer", "cus_1").err == ""
    kept = hooked("webhooks", "disable", "--customer", "cus_1")
    assert kept.err == "nothing was changed: the webhook was disabled already\n"
    actions = re.findall(r"webhooks\.(?:dis|en)able", hooked("audit", "--customer", "cus_1").out)
    assert actions == ["webhooks.disable"]


def test_remove_deletes_the_webhook_and_its_deliveries(hooked: Run, database: Database) -> None:
    database.add_delivery("1602262000000000001", "pending", 1_670_479_632_933)
    database.add_delivery("1602262000000000002", "failed", 1_670_479_632_934)
    remove = ("webhooks", "remove", "--customer", "cus_1")
    assert "--yes is needed" in hooked(*remove, code=2).err
    assert "failed            1\n" in hooked(*SHOW).out
    assert hooked(*remove, "--yes").out == "webhook removed; deliveries deleted: 2\n"
    assert "has no webhook" in hooked(*SHOW, code=3).err
    assert "has no webhook" in hooked(*remove, "--yes", code=3).err
    assert "webhooks 0, deliveries 0" in hooked("verify").out
    assert "whsec_" in hooked(*SET).out


def times_of(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """Return the times in a value of JSON with their names, which end in Ms or At."""
    if isinstance(value, list | dict):
        items = value.items() if isinstance(value, dict) else ((name, one) for one in value)
        for inner, one in items:
            yield from times_of(one, inner)
    elif isinstance(value, int) and value > 10**8:
        assert name.endswith(("Ms", "At"))
        yield name, value


def test_show_counts_deliveries_and_lists_all_webhooks(
    hooked: Run, database: Database, database_url: str
) -> None:
    database.add_delivery("1602262000000000001", "pending", 1_670_479_632_933)
    database.add_delivery("1602262000000000002", "failed", 1_670_479_632_934)
    shown = hooked(*SHOW)
    assert "pending           1\n" in shown.out
    assert "failed            1\n" in shown.out
    assert "oldest pending    2022-12-08 06:07:12Z\n" in shown.out
    assert hooked(*SHOW, "--json").json["deliveries"] == {
        "pending": 1,
        "failed": 1,
        "oldestPendingAt": 1_670_479_632,
    }
    listed = hooked("webhooks", "show", "--database", database_url)
    for command in (SHOW, ("webhooks", "deliveries", "--customer", "cus_1"), CUSTOMERS):
        times = [*times_of(hooked(*command, "--json").json)]
        assert times
        for name, value in times:  # in ms, or in s
            assert value == 0 or (value > 10**12) == name.endswith("Ms"), name
    assert listed.out.splitlines()[1].split()[:3] == ["cus_1", "active", "callRecord,unboundCall"]
    (one,) = hooked("webhooks", "show", "--database", database_url, "--json").json
    assert (one["customerId"], one["url"], one["state"]) == ("cus_1", URL, "active")


@on_sqlite_only
def test_restore_says_that_pending_deliveries_are_sent_again(
    hooked: Run, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda *_: "20271208T060712Z")  # both in one second
    backup, note = str(tmp_path / "backup.db"), "deliveries to webhooks that were pending are sent"
    hooked("backup", "--to", backup)
    assert note not in hooked("restore", "--from", backup, "--force").err
    database.add_delivery("1602262000000000001", "pending", 1_670_479_632_933)
    hooked("backup", "--to", backup, "--force")
    done = hooked("restore", "--from", backup, "--force")
    assert note in done.err
    assert done.out.endswith(".20271208T060712Z-2\n")


@pytest.mark.parametrize("is_first", [True, False], ids=["set", "rotate"])
def test_secret_that_cannot_be_shown_is_not_used(
    openpns: Run, database: Database, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    if not is_first:
        openpns(*SET)
    before = database.query("SELECT secret_ciphertext FROM webhook")

    def fail(*_: object, **__: object) -> None:
        raise OutputFailed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(operate, "_print_secret", fail)
    if is_first:
        done = openpns(*SET, code=7)
        assert "was created and is disabled now; rotate its secret, then enable it" in done.err
        assert database.query("SELECT state FROM webhook") == [("disabled",)]
    else:
        done = openpns("webhooks", "rotate-secret", "--customer", "cus_1", code=7)
        assert "has its old secret again" in done.err
        assert database.query("SELECT secret_ciphertext FROM webhook") == before
    assert "whsec_" not in done.out + done.err


def test_master_key_rotation_counts_webhook_secrets(
    hooked: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = hooked("master-key", "new").out.strip()
    monkeypatch.setenv("OPENPNS_MASTER_KEY", f"{new},{os.environ['OPENPNS_MASTER_KEY']}")
    assert hooked("master-key", "rotate").out == (
        "access secrets encrypted again: 0\nwebhook secrets encrypted again: 1\n"
    )
    assert "webhooks 1, deliveries 0" in hooked("verify").out


def test_audit_shows_what_was_done_without_paths(hooked: Run) -> None:
    hooked("webhooks", "rotate-secret", "--customer", "cus_1")
    shown = hooked("audit", "--customer", "cus_1").out
    assert "webhooks.set" in shown
    assert "webhooks.rotateSecret" in shown
    assert "https://example.com" in shown
    assert URL not in shown
