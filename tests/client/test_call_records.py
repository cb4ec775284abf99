"""The methods for call records, of both clients, on a real server."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.client.shells import Server, Use, answer, run_live_async, run_live_sync, run_sync

import openpns
from openpns.api.registry import ACTIONS
from openpns.client import call_record_requests as requests
from openpns.client import call_records
from openpns.client.call_record_types import CallRecord, CallRecordFilters, CallRecordPage
from openpns.client.pages import CallRecordPager
from openpns.client.requests import Request
from openpns.testing import Emulator

A, B = "85211111111", "85222222222"
X = "85290000001"
START = datetime(2026, 11, 28, 8, 0, 1, tzinfo=UTC)
BAD: Any = "x"
NAIVE = START.replace(tzinfo=None)
S = int(START.timestamp())

Run = Callable[[Use], Any]


@pytest.fixture(scope="module")
def started() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def server(started: Emulator) -> Emulator:
    """A server with two bound phones."""
    started.reset()
    started.add_numbers(X)
    run_live_sync(started, lambda pns: pns.bindings.bind_axb(A, B, expire_s=0))
    return started


@pytest.fixture(params=[run_live_sync, run_live_async])
def run(request: pytest.FixtureRequest, server: Emulator) -> Run:
    """Run a use of either client on the server; return its result."""
    return lambda use: request.param(server, use)


def test_call_is_reported_and_read(run: Run, server: Emulator) -> None:
    call_id = run(lambda pns: pns.bindings.query(A, X)).call_id
    report = {
        "start": START.astimezone() + timedelta(microseconds=999_999),
        "answer": START + timedelta(seconds=2),
        "hangup": START + timedelta(seconds=9),
        "hangup_cause": "NORMAL_CLEARING",
        "hung_up_by": "callee",
        "record_file": "https://a.example/1.wav",
    }
    record_id = run(lambda pns: pns.call_records.report(call_id, **report))
    assert run(lambda pns: pns.call_records.report(call_id, **report)) == record_id
    found = run(lambda pns: pns.call_records.get(call_id))
    bind_id = found.bind_id
    assert found == CallRecord(
        record_id,
        call_id,
        bind_id,
        None,
        "default",
        X,
        A,
        B,
        1,
        "normal end",
        7,
        START,
        START + timedelta(seconds=2),
        START + timedelta(seconds=9),
        "NORMAL_CLEARING",
        16,
        "callee",
        "https://a.example/1.wav",
        None,
        None,
    )
    assert server.call_records() == [found]
    assert run(lambda pns: pns.call_records.list(phone=A)) == CallRecordPage([found], None)
    with pytest.raises(openpns.ClientTokenReused):
        run(lambda pns: pns.call_records.report(call_id, start=START, hangup=START))
    with pytest.raises(openpns.NotFound):
        run(lambda pns: pns.call_records.get("1"))


def test_lost_answer_is_sent_again_and_stored_once(run: Run, server: Emulator) -> None:
    call_id = run(lambda pns: pns.bindings.query(A, X)).call_id
    server.faults.drop_after_commit(action="reportCall")
    record_id = run(lambda pns: pns.call_records.report(call_id, start=START, hangup=START))
    (found,) = server.call_records()
    assert (found.id, found.answer, found.hung_up_by) == (record_id, None, "caller")


def test_pages_return_every_record_once(run: Run, server: Emulator) -> None:
    for second in range(5):
        begun = START + timedelta(seconds=second)
        call_id = run(lambda pns: pns.bindings.query(A, X)).call_id
        run(lambda pns, c=call_id, t=begun: pns.call_records.report(c, start=t, hangup=t))
    newest = server.call_records()
    assert run(lambda pns: pns.call_records.iterate(2)) == newest
    assert run(lambda pns: pns.call_records.iterate(2, phone=B, did=X)) == newest
    part = {"since": START + timedelta(seconds=1), "until": START + timedelta(seconds=3)}
    assert run(lambda pns: pns.call_records.iterate(1, **part)) == newest[2:4]
    page = run(lambda pns: pns.call_records.list(limit=2))
    assert run(lambda pns: pns.call_records.iterate(after=page.next)) == newest[2:]


def test_empty_page_with_a_next_one_is_not_the_last() -> None:
    pager = CallRecordPager(2, CallRecordFilters())
    assert pager.accept(CallRecordPage([], "5-1")) == []
    request = pager.next_request()
    assert request is not None
    assert request.body == {"limit": 2, "after": "5-1"}
    # A server could else keep the client busy for ever.
    pager.accept(CallRecordPage([], "5-1"))
    assert pager.next_request() is None


SENT: list[tuple[Request[Any], str, Any]] = [
    (
        requests.report_call("1", start=START, hangup=START),
        "reportCall",
        {"callId": "1", "startAt": S, "hangupAt": S},
    ),
    (
        requests.report_call(
            "1",
            start=START,
            answer=START,
            hangup=START,
            hangup_cause="USER_BUSY",
            hangup_code=0,
            hung_up_by="caller",
            record_file="https://a.example",
            caller=A,
            did=X,
            bind_id="b",
            client_token="t",
        ),
        "reportCall",
        {
            "callId": "1",
            "startAt": S,
            "answerAt": S,
            "hangupAt": S,
            "hangupCode": 0,
            "hangupCause": "USER_BUSY",
            "hangup": 0,
            "recordFile": "https://a.example",
            "caller": A,
            "did": X,
            "bindId": "b",
            "clientToken": "t",
        },
    ),
    (requests.list_call_records(), "listCallRecords", {"limit": 1000, "after": ""}),
    (
        requests.list_call_records(5, "1-2", bind_id="b", did=X, phone=A, since=START, until=START),
        "listCallRecords",
        {"limit": 5, "after": "1-2", "bindId": "b", "did": X, "phone": A, "since": S, "until": S},
    ),
    (requests.get_call_record("1"), "getCallRecord", {"callId": "1"}),
]


@pytest.mark.parametrize(("request_", "action", "body"), SENT)
def test_request_has_action_and_body(request_: Request[Any], action: str, body: Any) -> None:
    assert (request_.action, request_.body) == (action, body)
    is_write = ACTIONS[action].is_write
    assert (request_.is_read, request_.has_client_token) == (not is_write, is_write)
    assert request_.is_extension


def test_every_action_on_call_records_has_a_request() -> None:
    of_records = {
        name
        for name, action in ACTIONS.items()
        if action.request.__module__.startswith("openpns.call_records.")
    }
    assert {action for _, action, _ in SENT} == of_records


@pytest.mark.parametrize(
    ("error", "use"),
    [
        (ValueError, lambda: requests.report_call("1", start=NAIVE, hangup=START)),
        (ValueError, lambda: requests.list_call_records(since=NAIVE)),
        (
            ValueError,
            lambda: requests.report_call("1", start=START, hangup=START, hung_up_by=BAD),
        ),
        (openpns.ParameterError, lambda: requests.list_call_records(since=BAD)),
        (
            openpns.ParameterError,
            lambda: requests.report_call("1", start=BAD, hangup=START),
        ),
        (ValueError, lambda: CallRecordPager(0, CallRecordFilters())),
        (openpns.ParameterError, lambda: requests.get_call_record(1)),  # type: ignore[arg-type]
        (
            openpns.ParameterError,
            lambda: requests.report_call("1", start=START, hangup=START, client_token=""),
        ),
    ],
)
def test_wrong_arguments_are_refused(error: type[Exception], use: Callable[[], object]) -> None:
    with pytest.raises(error):
        use()


WIRE = {
    "id": 1,
    **dict.fromkeys(("businessId", "customerBindId", "bindId", "callId", "did", "caller"), ""),
    **dict.fromkeys(("callee", "callStatusMsg", "hangupCause", "recordFile"), ""),
    **dict.fromkeys(("extensionCaller", "extensionCallee"), ""),
    **dict.fromkeys(("callStatus", "duration", "startAt", "answerAt", "hangupAt"), 0),
    **dict.fromkeys(("hangupCode", "hangup"), 0),
}


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 0},
        {"id": 2**53},
        {"startAt": -1},
        {"hangupAt": 10**12},
        {"caller": None},
        {"id": "1"},
    ],
)
def test_record_out_of_bounds_is_unreadable(changed: dict[str, Any]) -> None:
    def get(data: dict[str, Any]) -> Any:
        return run_sync(Server(answer(data=data)), lambda pns: pns.call_records.get("1"))

    assert get(WIRE).start == datetime(1970, 1, 1, tzinfo=UTC)
    with pytest.raises(openpns.AnswerUnreadable):
        get(WIRE | changed)


def test_no_repr_shows_a_phone() -> None:
    record = requests.as_record(msgspec.convert(WIRE | {"caller": A}, requests.WireRecord))
    for shown in (
        record,
        CallRecordPage([record], None),
        CallRecordFilters(phone=A),
        msgspec.convert(WIRE | {"caller": A}, requests.WireRecord),
    ):
        assert A not in repr(shown)


def test_both_clients_have_the_same_methods() -> None:
    names = {name for name in dir(call_records.CallRecords) if not name.startswith("_")}
    assert names == {
        name for name in dir(call_records.AsyncCallRecords) if not name.startswith("_")
    }
