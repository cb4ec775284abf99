"""`openpns webhooks test`; this process acts as the worker that delivers."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.cli.conftest import Run
from tests.cli.webhooks.conftest import Database
from tests.helpers import on_sqlite_only

TEST = ("webhooks", "test", "--customer", "cus_1")
STATE = "SELECT kind, state, tries, last_error FROM delivery"


@contextmanager
def worker(database: Database, change: str) -> Iterator[None]:
    """Do to the test event what a delivery worker does, as soon as there is one."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set() and not database.query("SELECT 1 FROM delivery"):
            time.sleep(0.05)
        database.query(f"UPDATE delivery SET {change}")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_test_that_arrives_is_reported(hooked: Run, database: Database) -> None:
    with worker(database, "state = 'delivered', tries = 1, last_ms = 1, last_status = 204"):
        assert hooked(*TEST).out == "delivered: the receiver answered 204\n"
    assert database.query(STATE) == [("test", "delivered", 1, "")]


def test_result_is_printed_as_json(hooked: Run, database: Database) -> None:
    with worker(database, "state = 'delivered', tries = 1, last_ms = 1, last_status = 200"):
        shown = hooked(*TEST, "--json").json
    assert (shown["kind"], shown["state"], shown["lastStatus"]) == ("test", "delivered", 200)


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (500, "HTTP 500", "the receiver answered 500; a receiver must answer 200 to 299"),
        (401, "HTTP 401", "Does it check the signature with the right secret?"),
        (302, "HTTP 302", "Set the URL that it redirects to"),
        (0, "no response in time", "not delivered: no response in time; check the URL"),
        (0, "bad \x1b[31m text", "not delivered: bad \ufffd[31m text"),
    ],
)
@on_sqlite_only
def test_failed_attempt_says_why_and_is_the_last_one(
    hooked: Run, database: Database, status: int, error: str, why: str
) -> None:
    change = (
        f"tries = 1, round_tries = 1, last_ms = 1, last_status = {status}, last_error = '{error}', "
        "next_ms = next_ms + 60000"
    )
    with worker(database, change):
        done = hooked(*TEST, code=1)
    assert why in done.err
    assert done.out == ""
    assert database.query(STATE) == [("test", "failed", 1, error)]


def test_receiver_that_is_gone_is_reported(hooked: Run, database: Database) -> None:
    with worker(database, "state = 'failed', tries = 1, last_ms = 1, last_status = 410"):
        done = hooked(*TEST, code=1)
    assert "nothing is sent until openpns webhooks enable" in done.err


def test_json_of_a_test_that_was_withdrawn(hooked: Run) -> None:
    shown = hooked(*TEST, "--wait", "1s", "--json", code=6).json
    assert (shown["state"], shown["nextAt"], shown["lastError"]) == ("failed", 0, "withdrawn")


def test_without_worker_the_test_is_withdrawn(hooked: Run, database: Database) -> None:
    done = hooked(*TEST, "--wait", "1s", code=6)
    assert "no worker has taken the test event within 1 s, and it was withdrawn" in done.err
    assert "webhook_worker=on" in done.err
    assert database.query(STATE) == [("test", "failed", 0, "withdrawn")]


def test_attempt_in_flight_is_left_alone(hooked: Run, database: Database) -> None:
    with worker(database, "lease_owner = 'w1', next_ms = next_ms + 600000"):
        done = hooked(*TEST, "--wait", "2s", code=6)
    assert "an attempt is in flight, and the receiver has not answered yet" in done.err
    assert database.query(STATE) == [("test", "pending", 0, "")]


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--wait", "0s"), "allowed are 1s to 10m"),
        (("--wait", "11m"), "allowed are 1s to 10m"),
    ],
)
def test_wrong_wait_is_refused(hooked: Run, arguments: tuple[str, ...], why: str) -> None:
    assert why in hooked(*TEST, *arguments, code=2).err


def test_disabled_webhook_is_not_tested(hooked: Run, database: Database) -> None:
    hooked("webhooks", "disable", "--customer", "cus_1")
    assert "its webhook is disabled, so that nothing is sent" in hooked(*TEST, code=2).err
    assert database.query("SELECT 1 FROM delivery") == []


def test_worker_id_of_the_event_is_given_back(hooked: Run, database: Database) -> None:
    hooked(*TEST, "--wait", "1s", code=6)
    first = database.query("SELECT worker_id FROM worker_lease")
    hooked(*TEST, "--wait", "1s", code=6)
    assert database.query("SELECT worker_id FROM worker_lease") == first
    ids = [row[0] for row in database.query("SELECT delivery_id FROM delivery")]
    assert len({*ids}) == 2
