"""`openpns webhooks deliveries|resend|show`, through the API and on the database."""

import pytest
from tests.cli.conftest import Run
from tests.cli.webhooks.conftest import Database
from tests.helpers import on_sqlite_only

from openpns.clock import now_ms
from openpns.deliveries import resending, service
from openpns.ids import SNOWFLAKE_EPOCH_MS

LIST = ("webhooks", "deliveries", "--customer", "cus_1")
GET = ("webhooks", "deliveries", "get", "--customer", "cus_1")
RESEND = ("webhooks", "resend", "--customer", "cus_1")
HOUR_MS = 3_600_000


def id_of(at_ms: int) -> str:
    return str(at_ms - SNOWFLAKE_EPOCH_MS << 22)


NOW_MS = now_ms()
FIRST, SECOND, THIRD = [id_of(NOW_MS - hours * HOUR_MS) for hours in (3, 2, 1)]


@pytest.fixture
def filled(hooked: Run, database: Database) -> Run:
    """Three deliveries: three hours ago, two, and one; the newest is pending."""
    database.add_delivery(FIRST, "failed", NOW_MS - 3 * HOUR_MS, "HTTP 500")
    database.add_delivery(SECOND, "failed", NOW_MS - 2 * HOUR_MS, "evil \x1b[31m text")
    database.add_delivery(THIRD, "pending", NOW_MS - HOUR_MS)
    return hooked


def test_list_of_the_database(filled: Run) -> None:
    lines = filled(*LIST).out.splitlines()
    assert lines[0].split()[:4] == ["id", "kind", "state", "tries"]
    assert [line.split()[:4] for line in lines[1:]] == [
        [THIRD, "callRecord", "pending", "0"],
        [SECOND, "callRecord", "failed", "1"],
        [FIRST, "callRecord", "failed", "1"],
    ]
    assert "\x1b" not in "".join(lines)
    assert lines[3].endswith("500     HTTP 500")
    assert filled(*LIST, "-q", "--limit", "2").out == f"{THIRD}\n{SECOND}\n"
    assert filled(*LIST, "-q", "--state", "failed").out == f"{SECOND}\n{FIRST}\n"
    assert filled(*LIST, "-q", "--since", "150m").out == f"{THIRD}\n{SECOND}\n"
    shown = filled(*LIST, "--json", "--limit", "1").json
    assert (shown[0]["id"], shown[0]["webhookId"]) == (THIRD, f"msg_{THIRD}")
    assert filled(*LIST, "--json", "--since", "1m").json == []
    empty = filled(*LIST, "--limit", "0")
    assert (empty.out, empty.err) == ("", "no deliveries\n")


def test_get_on_the_database_shows_the_event_with_masked_phones(
    filled: Run, database: Database
) -> None:
    body = '{"callId":"1602262837283131392","did":"85290000001","caller":"85211111111"}'
    database.query(f"UPDATE delivery SET body = '{body}' WHERE delivery_id = '{FIRST}'")
    lines = filled(*GET, f"msg_{FIRST}").out.splitlines()
    shown = {line[:20].rstrip(): line[20:] for line in lines}
    assert (shown["id"], shown["webhook-id"], shown["state"]) == (FIRST, f"msg_{FIRST}", "failed")
    assert (shown["tries"], shown["status"], shown["why"]) == ("1", "500", "HTTP 500")
    assert (shown["next try"], shown["tries since queued"]) == ("-", "1")
    assert "85211****11" in shown["event"]
    assert "1602262837283131392" in shown["event"]
    assert "85211111111" not in "".join(lines)
    found = filled(*GET, SECOND, "--json").json
    assert (found["id"], found["event"], found["isLeased"]) == (SECOND, {}, False)
    assert found["lastError"] == "evil \x1b[31m text"
    assert filled("webhooks", "deliveries", "get", FIRST, "--customer", "cus_9", code=3).err
    assert "has no such delivery" in filled(*GET, "7", code=3).err
    moved = filled(*LIST, "get", FIRST, code=2)
    assert "Give the options behind get." in moved.err


def test_get_through_the_api(api: Run, ids: list[str]) -> None:
    for delivery_id, state in zip(ids, ("failed", "failed", "pending"), strict=True):
        found = api("webhooks", "deliveries", "get", delivery_id, "--json").json
        assert (found["id"], found["state"]) == (delivery_id, state)
        assert "event" not in found
    assert f"msg_{ids[0]}" in api("webhooks", "deliveries", "get", f"msg_{ids[0]}").out
    for other in (str(int(ids[0]) - 1), "9" * 30, "-1", "x"):
        done = api("webhooks", "deliveries", "get", "--", other, code=3)
        assert "Not found" in done.err


def test_list_reads_page_by_page(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openpns.limits.DELIVERIES_IN_PAGE_MAX", 1)
    assert filled(*LIST, "-q").out == f"{THIRD}\n{SECOND}\n{FIRST}\n"
    assert filled(*LIST, "-q", "--limit", "2").out == f"{THIRD}\n{SECOND}\n"
    assert filled(*LIST, "-q", "--since", "30m").out == ""


def test_resend_on_the_database(filled: Run) -> None:
    assert filled(*RESEND, f"msg_{FIRST}").out == "it is sent again\n"
    assert filled(*RESEND, "--since", "150m", "--state", "failed", "--json").json == {"count": 1}
    again = filled(*RESEND, "--since", "7d").out
    assert again.startswith("failed deliveries that are sent again: 0 (events since 20")
    assert filled(*LIST, "-q", "--state", "failed").out == ""


def test_resend_of_one_in_flight_changes_nothing(filled: Run, database: Database) -> None:
    database.query("UPDATE delivery SET lease_owner = 'w1'")
    assert filled(*RESEND, THIRD).out == "an attempt is in flight: nothing was changed\n"


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (RESEND, 2, "Give either the ID of a delivery or --since."),
        ((*RESEND, FIRST, "--since", "1h"), 2, "Give either the ID of a delivery or --since."),
        ((*RESEND, FIRST, "--state", "failed"), 2, "--state needs --since."),
        ((*RESEND, "7"), 3, "customer cus_1 has no such delivery"),
        (("webhooks", "resend", "7", "--customer", "cus_9"), 3, "'cus_9': not found"),
        (("webhooks", "deliveries", "--customer", "cus_9"), 3, "'cus_9': not found"),
        ((*LIST, "--base-url", "https://x"), 2, "cannot be combined with a server"),
        ((*LIST, "--since", "later"), 2, "allowed is a date"),
        ((*LIST, "--since", "later"), 2, "or a span before now such as 24h"),
        ((*LIST, "--since", "1000000d"), 2, "of at most 6 digits"),
    ],
)
def test_wrong_values_are_refused(
    hooked: Run, arguments: tuple[str, ...], code: int, why: str
) -> None:
    assert why in hooked(*arguments, code=code).err


@on_sqlite_only
def test_database_without_customer_is_refused(hooked: Run, database_url: str) -> None:
    for command in (("deliveries",), ("resend", "7")):
        done = hooked("webhooks", *command, "--database", database_url, code=2)
        assert "Missing option '--customer'" in done.err


def test_customer_needs_a_database(run_anywhere: Run) -> None:
    assert "needs --database" in run_anywhere(*LIST, code=2).err


def test_server_without_webhook(api: Run) -> None:
    assert api("webhooks", "show").err == "there is no webhook; the operator sets it\n"
    assert api("webhooks", "show", "--json").json == {"url": "", "kinds": [], "state": "none"}
    assert api("webhooks", "deliveries").err == "no deliveries\n"
    assert "Not found" in api("webhooks", "resend", FIRST, code=3).err


def test_deliveries_of_the_server(api: Run, ids: list[str]) -> None:
    first, second, third = ids
    shown = api("webhooks", "show").out
    assert [line.split() for line in shown.splitlines()] == [
        ["url", "https://example.com/hooks"],
        ["kinds", "callRecord,unboundCall"],
        ["state", "active"],
    ]
    assert api("webhooks", "deliveries", "-q").out.split() == [third, second, first]
    assert api("webhooks", "deliveries", "-q", "--limit", "1").out.split() == [third]
    failed = api("webhooks", "deliveries", "--state", "failed", "--json").json
    assert [(one["id"], one["lastError"], one["nextAt"]) for one in failed] == [
        (second, "webhook disabled", 0),
        (first, "webhook disabled", 0),
    ]
    assert api("webhooks", "resend", first).out == "it is sent again\n"
    assert api("webhooks", "resend", "--since", "1h", "--json").json == {"count": 1}
    assert api("webhooks", "deliveries", "-q", "--state", "failed").out == ""


def test_resend_sends_requests_until_all_are_resent(
    api: Run, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "BATCH", 1)
    monkeypatch.setattr(service, "RESENT_MAX", 0)
    assert api("webhooks", "resend", "--since", "1h", "--json").json == {"count": 2}
    assert api("webhooks", "deliveries", "-q", "--state", "failed").out == ""
