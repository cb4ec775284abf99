import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only

from openpns.accounts import access_keys
from openpns.clock import now_ms

HOUR_MS = 3_600_000
NAMES = ["accessKey", "customerId", "label", "createdMs", "expiresMs", "disabledMs"]


def _ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type,misc]


def test_create_makes_a_long_random_secret(openpns: Run) -> None:
    first, second = (
        openpns("keys", "create", "--customer", "cus_1", "--json").json for _ in range(2)
    )
    assert list(first) == ["accessKey", "accessSecret", "customerId"]
    assert first["customerId"] == "cus_1"
    assert len(first["accessKey"]) >= 20
    assert len(first["accessSecret"]) >= 43
    assert first["accessKey"] != second["accessKey"]
    assert first["accessSecret"] != second["accessSecret"]


def test_create_takes_given_values(openpns: Run) -> None:
    given = ["--access-key", "my-key", "--access-secret", "my-secret", "--label", "billing"]
    made = openpns("keys", "create", "--customer", "cus_1", *given, "--json").json
    assert made == {"accessKey": "my-key", "customerId": "cus_1"}
    (listed,) = openpns("keys", "list", "--json").json
    assert (listed["accessKey"], listed["label"]) == ("my-key", "billing")


@on_sqlite_only
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_create_reads_the_secret_from_stdin(
    openpns: Run, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    create = access_keys.create

    def record(*arguments: Any, access_secret: str, **options: Any) -> Any:
        taken.append(access_secret)
        return create(*arguments, access_secret=access_secret, **options)

    monkeypatch.setattr(access_keys, "create", record)
    openpns(
        "keys", "create", "--customer", "cus_1", "--access-secret", "-", stdin=b"my-secret" + end
    )
    assert taken == ["my-secret"]


def test_create_shows_a_generated_secret_once(openpns: Run) -> None:
    made = openpns("keys", "create", "--customer", "cus_1")
    (secret,) = re.findall("^access secret  (.{43,})$", made.out, re.MULTILINE)
    assert made.err == "Store the secret now: it is not shown again.\n"
    assert secret not in openpns("keys", "list", "--json").out + openpns("keys", "list").out


@pytest.mark.parametrize("form", [(), ("--json",)])
@on_sqlite_only
def test_create_does_not_show_a_given_secret(openpns: Run, form: tuple[str, ...]) -> None:
    arguments = ["keys", "create", "--customer", "cus_1", *form, "--access-secret"]
    for done in (openpns(*arguments, "-", stdin=b"my-secret"), openpns(*arguments, "my-secret")):
        assert "my-secret" not in done.out + done.err
        assert "cus_1" in done.out
        assert done.err == ""


def test_list_shows_keys_oldest_first_or_of_one_customer(openpns: Run) -> None:
    openpns("customers", "create", "cus_2")
    for customer, name in (("cus_1", "key-1"), ("cus_2", "key-2"), ("cus_1", "key-3")):
        openpns("keys", "create", "--customer", customer, "--access-key", name)
    listed = openpns("keys", "list", "--json").json
    assert [key["accessKey"] for key in listed] == ["key-1", "key-2", "key-3"]
    assert list(listed[0])[:6] == NAMES
    own = openpns("keys", "list", "--customer", "cus_2").out.splitlines()
    assert [line.split()[0] for line in own[1:]] == ["key-2"]


def test_list_of_unknown_customer_fails_and_empty_list_has_a_hint(openpns: Run) -> None:
    assert "'cus_9'" in openpns("keys", "list", "--customer", "cus_9", code=3).err
    assert "openpns keys create" in openpns("keys", "list", "--customer", "cus_1").err


def test_disable_and_enable_a_key(openpns: Run) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    assert openpns("keys", "disable", "my-key", "--json").json["disabledMs"] <= now_ms()
    assert " disabled" in openpns("keys", "list").out
    assert openpns("keys", "enable", "my-key", "--json").json["disabledMs"] is None
    assert " active" in openpns("keys", "list").out


def test_require_sha256_and_allow_md5(openpns: Run) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key"]
    openpns(*create, "strict", "--sha256-only")
    openpns(*create, "plain")
    before = now_ms()
    refused = openpns("keys", "require-sha256", "plain", "--json").json["sha256OnlySinceMs"]
    assert before <= refused <= now_ms()
    digests = {
        key["accessKey"]: key["sha256OnlySinceMs"] for key in openpns("keys", "list", "--json").json
    }
    assert digests["strict"] <= before
    assert digests["plain"] == refused
    assert openpns("keys", "allow-md5", "strict", "--json").json["sha256OnlySinceMs"] is None
    lines = openpns("keys", "list").out.splitlines()
    shown = {line.split()[0]: line.split("active")[1].split() for line in lines[1:]}
    assert shown == {
        "strict": ["md5", "sha256", "hmac", "any", "default", "any", "any"],
        "plain": ["sha256", "hmac", "any", "default", "any", "any"],
    }


def test_keys_create_and_require_unique_ts(openpns: Run) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key"]
    before = now_ms()
    openpns(*create, "unique", "--unique-ts")
    openpns(*create, "plain")
    since = openpns("keys", "require-unique-ts", "plain", "--json").json["uniqueTsSinceMs"]
    assert before <= since <= now_ms()
    allowed = openpns("keys", "allow-repeated-ts", "unique", "--json").json
    assert allowed["uniqueTsSinceMs"] is None
    lines = openpns("keys", "list").out.splitlines()
    shown = {line.split()[0]: line.split("hmac")[1].split()[0] for line in lines[1:]}
    assert shown == {"unique": "any", "plain": "unique"}
    entries = [json.loads(line) for line in openpns("audit", "--json").out.splitlines()]
    assert [entry["action"] for entry in entries[:2]] == [
        "keys.allowRepeatedTs",
        "keys.requireUniqueTs",
    ]


def test_create_read_only(openpns: Run) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key"]
    before = now_ms()
    openpns(*create, "reader", "--read-only")
    openpns(*create, "writer")
    since = {key["accessKey"]: key["readOnlyMs"] for key in openpns("keys", "list", "--json").json}
    assert before <= since["reader"] <= now_ms()
    assert since["writer"] is None
    lines = openpns("keys", "list").out.splitlines()
    shown = {line.split()[0]: " read-only " in line for line in lines[1:]}
    assert shown == {"reader": True, "writer": False}
    openpns("keys", "disable", "reader")
    assert " disabled " in openpns("keys", "list").out


def test_set_rate_of_a_key(openpns: Run) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key", "my-key"]
    openpns(*create, "--rate-per-s", "5", "--rate-burst", "7")
    assert " 5/s burst 7" in openpns("keys", "list").out
    for arguments, values, shown in (
        (["--per-s", "3"], (3, None), " 3/s"),
        (["--per-s", "0"], (0, None), " any"),
        (["--default"], (None, None), " default"),
    ):
        key = openpns("keys", "set-rate", "my-key", *arguments, "--json").json
        assert (key["ratePerS"], key["rateBurst"]) == values
        assert shown in openpns("keys", "list").out


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give either --per-s or --default"),
        (["--per-s", "1", "--default"], "give either --per-s or --default"),
        (["--default", "--burst", "2"], "rate burst: allowed only with a rate per second"),
        (["--per-s", "-1"], "rate per second: allowed are 0 to 1000000"),
    ],
)
def test_set_rate_refuses_wrong_rates(openpns: Run, arguments: list[str], text: str) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    assert text in openpns("keys", "set-rate", "my-key", *arguments, code=2).err


def test_expire_changes_the_end_of_a_key(openpns: Run) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    moved = openpns("keys", "expire", "my-key", "--at", "2099-01-31", "--json").json
    assert moved["expiresMs"] == _ms(2099, 1, 31)
    assert openpns("keys", "expire", "my-key", "--never", "--json").json["expiresMs"] is None


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give either --at or --never"),
        (["--at", "2099-01-31", "--never"], "give either --at or --never"),
        (["--at", "2000-01-01"], "expires: allowed is a time in the future"),
        (["--at", "soon"], "'soon': allowed is a date such as 2027-01-31"),
    ],
)
def test_expire_refuses_wrong_times(openpns: Run, arguments: list[str], text: str) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    assert text in openpns("keys", "expire", "my-key", *arguments, code=2).err


@on_sqlite_only
@pytest.mark.parametrize(
    ("grace", "grace_ms"),
    [("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000), ("7d", 604_800_000)],
)
def test_rotate_keeps_the_old_secret_for_the_grace_period(
    openpns: Run, grace: str, grace_ms: int
) -> None:
    made = openpns("keys", "create", "--customer", "cus_1", "--json").json
    before = now_ms()
    rotated = openpns("keys", "rotate", made["accessKey"], "--grace", grace, "--json")
    assert list(rotated.json) == ["accessKey", "accessSecret", "customerId"]
    assert rotated.json["accessSecret"] != made["accessSecret"]
    assert "the old secret is accepted until 2" in rotated.err
    (listed,) = openpns("keys", "list", "--json").json
    assert before + grace_ms <= listed["previousSecretUntilMs"] <= now_ms() + grace_ms


def test_rotate_default_grace_is_24_hours(openpns: Run) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    before = now_ms()
    openpns("keys", "rotate", "my-key")
    (listed,) = openpns("keys", "list", "--json").json
    assert before + 24 * HOUR_MS <= listed["previousSecretUntilMs"] <= now_ms() + 24 * HOUR_MS


@on_sqlite_only
def test_rotate_without_grace_refuses_the_old_secret(openpns: Run) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    done = openpns("keys", "rotate", "my-key", "--grace", "0s")
    assert "the old secret is refused from now on" in done.err


@on_sqlite_only
@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2099-01-31", _ms(2099, 1, 31)),
        ("2099-01-31T18:00", _ms(2099, 1, 31, 18)),
        ("2099-01-31T18:00+08:00", _ms(2099, 1, 31, 10)),
        ("9999-12-31", _ms(9999, 12, 31)),
    ],
)
def test_create_expires_at_a_date_in_utc_or_a_time_with_zone(
    openpns: Run, text: str, expected_ms: int
) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--expires", text)
    (listed,) = openpns("keys", "list", "--json").json
    assert listed["expiresMs"] == expected_ms
    assert " active" in openpns("keys", "list").out


@on_sqlite_only
def test_list_shows_an_expired_key(openpns: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--expires", "2099-01-31")
    monkeypatch.setattr("openpns.cli.operator.key_printing.now_ms", lambda: _ms(2099, 1, 31))
    assert " expired" in openpns("keys", "list").out


@on_sqlite_only
@pytest.mark.parametrize(
    ("option", "value", "code", "text"),
    [
        (
            "--access-key",
            "abc",
            2,
            "access key 'abc': allowed are 4 to 64 letters, digits, _ and -",
        ),
        ("--access-key", "a key", 2, "allowed are 4 to 64 letters, digits, _ and -"),
        ("--access-key", "", 2, "allowed are 4 to 64 letters, digits, _ and -"),
        ("--access-secret", "short", 2, "access secret: allowed are 8 to 128 printable ASCII"),
        (
            "--access-secret",
            "with a space",
            2,
            "access secret: allowed are 8 to 128 printable ASCII",
        ),
        ("--access-secret", "", 2, "access secret: allowed are 8 to 128 printable ASCII"),
        ("--label", "a\nb", 2, "label: allowed are at most 128 printable characters"),
        ("--expires", "2000-01-01", 2, "expires: allowed is a time in the future"),
        ("--expires", "tomorrow", 2, "'tomorrow': allowed is a date such as 2027-01-31"),
        ("--expires", "9999-12-31T23:59-10:00", 2, "allowed is a date such as 2027-01-31"),
        ("--customer", "cus_9", 3, "'cus_9': not found; openpns customers list"),
    ],
)
def test_create_refuses_wrong_values(
    openpns: Run, option: str, value: str, code: int, text: str
) -> None:
    done = openpns("keys", "create", "--customer", "cus_1", option, value, code=code)
    assert text in done.err
    assert openpns("keys", "list", "--json").json == []


@on_sqlite_only
def test_create_does_not_print_a_refused_secret(openpns: Run) -> None:
    arguments = ["keys", "create", "--customer", "cus_1", "--access-secret"]
    assert "with a space" not in openpns(*arguments, "with a space", code=2).err
    assert "access secret: allowed" in openpns(*arguments, "-", stdin=b"\xff" * 9, code=2).err


@on_sqlite_only
@pytest.mark.parametrize("grace", ["24", "1w", "-1h", "h", "1.5h", ""])
def test_rotate_refuses_a_wrong_grace(openpns: Run, grace: str) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    done = openpns("keys", "rotate", "my-key", "--grace", grace, code=2)
    assert "allowed is a number with s, m, h or d, such as 24h" in done.err


def test_create_refuses_an_existing_key(openpns: Run) -> None:
    for code in (0, 2):
        arguments = ["--customer", "cus_1", "--access-key", "my-key"]
        done = openpns("keys", "create", *arguments, code=code)
    assert "access key my-key exists already" in done.err


@on_sqlite_only
@pytest.mark.parametrize("command", ["disable", "enable", "rotate", "require-sha256", "allow-md5"])
def test_commands_name_an_unknown_key(openpns: Run, command: str) -> None:
    done = openpns("keys", command, "no-such-key", code=3)
    assert "'no-such-key'" in done.err
    assert "openpns keys list" in done.err


def test_require_hmac_and_allow_digests(openpns: Run) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key"]
    openpns(*create, "strict", "--require-hmac")
    openpns(*create, "plain")
    before = now_ms()
    assert openpns("keys", "require-hmac", "plain", "--json").json["hmacOnlySinceMs"] >= before
    allowed = openpns("keys", "allow-digests", "strict", "--json").json
    assert allowed["hmacOnlySinceMs"] is None
    lines = openpns("keys", "list").out.splitlines()
    shown = {line.split()[0]: line.split("active")[1].split()[0] for line in lines[1:]}
    assert shown == {"strict": "md5", "plain": "hmac"}


def test_create_and_change_actions_and_addresses(openpns: Run) -> None:
    lists = ["--actions", "listGroup,getLimits", "--addresses", "192.0.2.0/24, 2001:db8::1"]
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key", *lists)
    (key,) = openpns("keys", "list", "--json").json
    assert key["allowedActions"] == "listGroup,getLimits"
    assert key["allowedAddresses"] == "192.0.2.0/24,2001:db8::1"
    assert " listGroup,getLimits  192.0.2.0/24,2001:db8::1" in openpns("keys", "list").out
    for command, column, value in (
        ("set-actions", "allowedActions", "createGroup"),
        ("set-addresses", "allowedAddresses", "10.0.0.1"),
    ):
        changed = openpns("keys", command, "my-key", "--only", value, "--json").json
        assert changed[column] == value
        assert openpns("keys", command, "my-key", "--any", "--json").json[column] is None
        assert "'other': not found" in openpns("keys", command, "other", "--any", code=3).err


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["set-actions"], "give either --only or --any"),
        (["set-addresses", "--any", "--only", "::1"], "give either --only or --any"),
        (["set-actions", "--only", "listgroup"], "'listgroup': allowed are listGroup, createGroup"),
        (["set-actions", "--only", "listGroup,"], "'': allowed are listGroup"),
        (["set-addresses", "--only", ""], "addresses: allowed are 1 to 64"),
        (["set-addresses", "--only", "10.0.0.1/8"], "the network is 10.0.0.0/8"),
    ],
)
def test_set_lists_refuses_wrong_values(openpns: Run, arguments: list[str], text: str) -> None:
    openpns("keys", "create", "--customer", "cus_1", "--access-key", "my-key")
    command, *others = arguments
    assert text in openpns("keys", command, "my-key", *others, code=2).err


@on_sqlite_only
def test_create_uses_the_default_end_unless_it_is_given(
    openpns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ["keys", "create", "--customer", "cus_1", "--access-key"]
    monkeypatch.setenv("OPENPNS_KEY_EXPIRES_DAYS_DEFAULT", "10")
    made = openpns(*create, "default")
    assert "the key expires " in made.err
    assert "the key expires" not in openpns(*create, "never", "--expires", "never").err
    openpns(*create, "given", "--expires", "2099-01-31")
    ends = {key["accessKey"]: key["expiresMs"] for key in openpns("keys", "list", "--json").json}
    assert abs(ends.pop("default") - now_ms() - 240 * HOUR_MS) < HOUR_MS
    assert ends == {"never": None, "given": _ms(2099, 1, 31)}
    assert "active, expires soon" in openpns("keys", "list").out
    monkeypatch.setenv("OPENPNS_KEY_EXPIRES_DAYS_DEFAULT", "9999")
    assert "an integer from 0 to 3650" in openpns(*create, "wrong", code=2).err
