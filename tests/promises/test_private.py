"""Private: no secret and no whole phone number stands in a log, a metric, an error or a repr."""

import asyncio
import base64
import logging
import re
import subprocess
import sys
import traceback
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests import direct
from tests.cli.conftest import Run, run_anywhere
from tests.helpers import on_sqlite_only
from tests.leaks import Leaks, LogWatch
from tests.processes import KEY_OF, LEAKS, MASTER_KEY, Start, client_environ
from tests.promises.abuse import NAME, NUMBERS, PASSWORD, PHONES, Abuse, all_marks, with_password

import openpns
from openpns.accounts.access_keys import NewSecret
from openpns.accounts.secret_box import SecretBox
from openpns.bindings import choice
from openpns.bindings import wire as bindings_wire
from openpns.bindings.service import BindingRequest
from openpns.client.config import load_config
from openpns.client.group_requests import create_group
from openpns.core.context import Principal, RequestFacts
from openpns.errors import WIRE_ERRORS
from openpns.groups import service, wire
from openpns.groups.rows import GroupRow
from openpns.routing import service as routing
from openpns.routing import wire as routing_wire
from openpns.routing.traces import Trace
from openpns.server.config import load_settings
from openpns.server.settings import Settings
from openpns.storage.store import Statement, StatementBatch
from openpns.testing import Emulator
from openpns.testing.requests import ReceivedRequest
from openpns.testing.service import Key
from openpns.testing.state_file import CustomerState, GroupState, KeyState, State

# A fixture.
__all__ = ["run_anywhere"]

SECRET = KEY_OF["cus_1"][1]
EXPECTED_CODES = {0, 1001, 1002, 1003, 1004, 1005, 10011, 19001, 19004, 19005}

LOG_A_NUMBER = f"""
from openpns.core import logs
logs.configure("json", "info")
logs.logger().warning("request failed", body={{"phones": "{PHONES}"}})
"""


@pytest.fixture
def leaks() -> Leaks:
    return all_marks()


@pytest.mark.parametrize(
    "text",
    [
        f'msg="{PHONES}"',
        f"postgresql://postgres:{PASSWORD}@host/name",
        f"{{'accessSecret': '{SECRET}'}}",
        f"phone {NUMBERS[0]}: refused",
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        f"/v1?key={MASTER_KEY.replace('=', '%3D')}",
    ],
)
def test_leaks_finds_every_form_of_a_secret(leaks: Leaks, text: str) -> None:
    with pytest.raises(AssertionError, match="a log shows "):
        leaks.require_none("a log", f"first line\n{text}\nlast line")
    leaks.require_none("a log", "8613912****71 secret-of-cus key-of-cus-1")


def test_leaks_finds_what_a_process_logs(leaks: Leaks) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOG_A_NUMBER], capture_output=True, text=True, check=True
    )
    assert leaks.found_in(done.stderr) == {"phone number"}


def test_log_watch_finds_what_is_logged() -> None:
    watch = LogWatch(LEAKS, logging.LogRecord)  # not the one that watches this test
    watch.begin()
    log = logging.getLogger("some.library")
    log.error("connecting with %s", SECRET)
    log.error("sent %s", {"phones": "85211111114"})
    log.error("request 2124757319171108864 of 0123852111111114 at 1670479632933")
    watch.end()
    assert [text.partition(":")[0] for text in watch.found] == ["some.library"] * 2


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_server_leaks_nothing_in_logs_responses_and_metrics(
    start: Start, served_url: str, leaks: Leaks, log_format: str
) -> None:
    server = start(
        *("serve", "--database", with_password(served_url), "--port", "0", "--admin-port", "0"),
        *("--log-level", "debug", "--log-format", log_format, "--slow-request-ms", "1"),
        *("--storage-timeout-ms", "400"),
        *("--log-lines-per-s-max", "10000", "--log-lines-per-key-per-s-max", "10000"),
        PYTHONASYNCIODEBUG="1",
    )
    abuse = Abuse(server.port, served_url, leaks)
    abuse.run()
    assert abuse.codes >= EXPECTED_CODES
    admin = server.wait_for(r"http://127\.0\.0\.1:([0-9]+)/healthz")[1]
    for path in ("healthz", "readyz", "metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/{path}") as answer:
            leaks.require_none(path, answer.read().decode())
    assert server.stop() == 0
    text = server.log.read_text("utf-8")
    leaks.require_none("the log", text)
    # What happened is logged all the same.
    assert all(str(code) in text for code in EXPECTED_CODES - {0})
    assert "request slow" in text
    # On Citus the last one: an error of a node loses its code.
    assert re.search("CheckViolationError|ConstraintError|cause.*InternalServerError", text)


def test_commands_leak_nothing_unless_asked_to(
    start: Start,
    run_anywhere: Run,
    served_url: str,
    leaks: Leaks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = with_password(served_url)
    server = start("serve", "--database", url, "--port", "0")
    environ = {"OPENPNS_DATABASE": url, "OPENPNS_MASTER_KEY": MASTER_KEY}
    for name, value in (environ | client_environ(server)).items():
        monkeypatch.setenv(name, value)
    bad_rows = tmp_path / "bad.csv"
    bad_rows.write_text(
        f'groupName,phones,remark\n{NAME},"{PHONES},12",x\n,{NUMBERS[0]}x,\n,{NUMBERS[0]},{NAME}\n'
        f'"{NUMBERS[1]},\n'
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f'{{"phones":"{PHONES}"}}\n{{"phones":12}}\n{{"phones":"{NUMBERS[0]}"\n')
    key, secret = KEY_OF["cus_1"]
    sign = ["sign", "--access-key", key, "--access-secret", secret, "--action", "listGroup"]
    commands = [
        ["doctor"],
        ["doctor", "--json"],
        [*sign, "--body", "{}"],
        [*sign, "--body", "{}", "--ts", "1670479632933", "--explain", "--sign", "0" * 32],
        ["keys", "list"],
        ["keys", "list", "--json"],
        ["keys", "disable", NUMBERS[0][:9]],
        ["customers", "list", "--json"],
        ["customers", "show", "cus_1"],
        ["groups", "import", str(bad_rows), "--customer", "cus_1"],
        ["groups", "import", str(bad_rows), "--keep-going"],
        ["groups", "import", str(rows), "--customer", "cus_1", "--keep-going"],
        ["groups", "import", str(rows), "--keep-going", "--dry-run"],
        ["groups", "create", f"{PHONES},12"],
        ["groups", "create", *NUMBERS],
        ["groups", "add", "0" * 32, NUMBERS[0]],
        ["audit"],
        ["audit", "--json"],
        ["verify", "--json"],
        ["migrate", "--check"],
        ["master-key", "rotate"],
        ["backup", "--to", str(tmp_path / "backup.db")],
        ["request", "createGroup", "--data", f'{{"phones":"{PHONES}"'],
    ]
    codes = set()
    for command in commands:
        done = run_anywhere(*command, code=None)
        codes.add(done.code)
        leaks.require_none(f"openpns {command[0]}", done.out + done.err)
    assert codes == {0, 1, 2, 3, 4}
    assert run_anywhere("audit").out.count("phones=8613912****71") == 1
    made = run_anywhere("keys", "create", "--customer", "cus_1", "--json")
    shown = made.json["accessSecret"]
    assert made.out.count(shown) == 1
    leaks.mark("new secret", shown)
    leaks.require_none("what comes after keys create", made.err)
    for command in (["keys", "list"], ["audit", "--json"]):
        leaks.require_none("what comes after keys create", run_anywhere(*command).out)
    server.stop()
    leaks.require_none("the log", server.log.read_text("utf-8"))


AWAY = f"postgresql://openpns:{PASSWORD}@127.0.0.1:1/openpns"


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (AWAY, ["serve", "--port", "0"]),
        (AWAY, ["serve", "--port", "x"]),
        (AWAY, ["migrate"]),
        (AWAY, ["verify"]),
        (AWAY, ["backup", "--to", "x.db"]),
        (AWAY, ["audit"]),
        (AWAY, ["groups", "import", "-", "--customer", "cus_1"]),
        (f"postgresql://openpns:{PASSWORD}@[::1/openpns", ["verify"]),
        (f"{AWAY}?target_session_attrs=standby", ["verify"]),
        (f"{AWAY}?connect_timeout=x", ["verify"]),
        (f"mysql://openpns:{PASSWORD}@host/openpns", ["verify"]),
        (f"postgresql//openpns:{PASSWORD}@host/openpns", ["serve"]),
    ],
)
def test_errors_of_an_unreachable_database_do_not_show_its_password(
    run_anywhere: Run,
    leaks: Leaks,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("OPENPNS_DATABASE", url)
    done = run_anywhere(*arguments, code=None)
    assert done.code in (2, 6)  # a URL that cannot be read, a server that does not answer
    assert done.err.strip()
    leaks.require_none("the error", done.out + done.err)


@on_sqlite_only
@pytest.mark.parametrize("command", [["verify"], ["audit"], ["customers", "list"], ["serve"]])
def test_errors_of_a_damaged_file_do_not_show_its_content(
    run_anywhere: Run,
    served_url: str,
    leaks: Leaks,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.setenv("OPENPNS_DATABASE", served_url)
    path = Path(served_url.removeprefix("sqlite:///"))
    data = path.read_bytes()
    path.write_bytes(data[:4096] + (PHONES + SECRET + MASTER_KEY).encode() * (len(data) // 100))
    done = run_anywhere(*command, code=None)
    assert done.code != 0
    assert "damaged" in done.err or "malformed" in done.err
    leaks.require_none("the error", done.out + done.err)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_errors_of_a_migration_do_not_quote_rows(served_url: str, leaks: Leaks) -> None:
    from openpns.errors import ConfigError
    from openpns.storage import connect
    from openpns.storage.migrations import Migration

    async def migrate(sql: str) -> None:
        store = await connect.open_store(served_url)
        try:
            await store.migrate([Migration(99, sql, "pre")])
        finally:
            await store.close()

    member = "INSERT INTO group_member VALUES ('cus_1', 1, '{}', {})"
    for place, number in enumerate(NUMBERS[:2]):
        asyncio.run(direct.run(served_url, member.format(number, place)))
    for sql in (
        "ALTER TABLE group_member ADD CONSTRAINT few CHECK (phone = '')",
        "CREATE UNIQUE INDEX one ON group_member (customer_id)",
        "INSERT INTO group_member SELECT * FROM group_member",
        "UPDATE group_member SET position = CAST(phone || 'x' AS bigint)",
        "SELECT CAST(phone AS integer) FROM group_member",
    ):
        with pytest.raises(ConfigError, match="cannot migrate: ") as caught:
            asyncio.run(migrate(sql))
        leaks.require_none("the error", str(caught.value))


def _shown_of_bindings(phone_a: str, phone_b: str) -> list[Any]:
    """Return what a bind, its list and a question with these phones make."""
    row = ("cus_1", "default", "0" * 32, "", phone_a, phone_b, "85290000001", 0, 0, "")
    binding = bindings_wire.Binding(*row)
    wanted = choice.Wanted("cus_1", "axb", phone_a, phone_b, "", "", None, 0)
    request = BindingRequest("bindAXB", "axb", phone_a, phone_b, 0)
    match = routing.Match("seat", phone_a, "0" * 32, "axb", phone_a, phone_b, 0, 1, 0, 0)
    return [
        bindings_wire.BindAXB(phone_a=phone_a, phone_b=phone_b, expire_second=0),
        bindings_wire.GetAXBList(1, phone=phone_a),
        binding,
        bindings_wire.BindingPage([binding], 1),
        bindings_wire.BindingDetail(*row, "axb", "", 0, 0),
        request,
        wanted,
        Statement("binding_create", wanted.params()),
        match,
        routing.Found(True, True, False, [match], routing.Audios()),
        routing.FoundDigits(True, True, "0" * 32, phone_a),
        Trace("cus_1", "1", 0, "0" * 32, phone_a, phone_b, "85290000001", "", 0, "1"),
        routing_wire.QueryAXB(phone_a, "85290000001"),
        routing_wire.CallAnswer(phone_a, "1", 0, "", 1, "", ""),
        routing_wire.DigitsAnswer(phone_a, "1", "123", 0, ""),
        routing_wire.Explanation(phone_a, "", "axb", ""),
    ]


def test_reprs_leak_nothing(leaks: Leaks) -> None:
    leaks.mark("signature", "0f" * 16)
    group = openpns.Group("0" * 32, "name", [*NUMBERS], NAME, "cus_1")
    settings = load_settings({"database": f"postgresql://a:{PASSWORD}@host/b"}, {})
    emulator_state = State(
        customers=[
            CustomerState(
                customer_id="cus_1",
                access_keys=[KeyState(access_key="key", access_secret=SECRET)],
                groups=[GroupState(phones=PHONES, remark=NAME)],
            )
        ]
    )
    client = openpns.Client("http://127.0.0.1:1", "key", SECRET)
    shown: list[Any] = [
        client,
        openpns.AsyncClient("http://127.0.0.1:1", "key", SECRET),
        load_config("http://127.0.0.1:1", "key", SECRET),
        group,
        openpns.GroupPage([group], 1),
        create_group(PHONES),
        openpns.RawRequest("createGroup", {"phones": PHONES}),
        NewSecret("key", SECRET, "cus_1"),
        Key("key", SECRET, "cus_1"),
        Emulator(access_secret=SECRET),
        emulator_state,
        ReceivedRequest("createGroup", "key", {"phones": PHONES}),
        settings,
        SecretBox([base64.urlsafe_b64decode(MASTER_KEY)]),
        Principal("key", "cus_1"),
        RequestFacts(signature="0f" * 16),
        wire.CreateGroup(PHONES, "name", NAME),
        wire.UpdateGroup("0" * 32, 0, PHONES),
        wire.Group("cus_1", "name", "0" * 32, PHONES, NAME),
        GroupRow(1, "", "name", NAME, [*NUMBERS]),
        Statement("group_member_fill", {"phones": [*NUMBERS]}),
        StatementBatch("group_member_insert", [{"phone": number} for number in NUMBERS]),
        service.changed(NUMBERS, added=4),
        wire.GroupDetail("cus_1", "name", "0" * 32, PHONES, NAME, 4, 0, 0, 1),
        wire.PhonePage(PHONES, 4),
        *_shown_of_bindings(*NUMBERS[:2]),
    ]
    client.close()
    for thing in shown:
        leaks.require_none(f"repr of {type(thing).__name__}", f"{thing!r} {thing} {[thing]}")
    assert "database=…" in repr(settings)
    assert Settings(database="sqlite:///a.db").database == "sqlite:///a.db"


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.__name__)
def test_tracebacks_of_client_errors_leak_nothing(
    leaks: Leaks, error: type[openpns.WireError]
) -> None:
    with Emulator(access_secret=SECRET) as pns:
        pns.faults.error(error.code)
        client = openpns.Client(pns.base_url, pns.access_key, SECRET, retries=0)
        with client, pytest.raises(openpns.OpenPNSError) as caught:
            client.groups.create(NUMBERS, name="name", remark=NAME)
    text = "".join(traceback.format_exception(caught.value))
    leaks.require_none("the traceback", f"{text}{caught.value!r}")
