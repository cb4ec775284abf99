import hashlib
import json
import re
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.client.fake_server import (
    ACCESS_KEY,
    DATE,
    DATE_MS,
    LIMITS,
    PHONE,
    SECRET,
    Clock,
    Run,
    make_config,
    reply,
)

from openpns.client.account_requests import get_limits
from openpns.client.answers import Response
from openpns.client.exchange import Exchanger
from openpns.client.group_requests import (
    add_phones,
    create_group,
    delete_group,
    get_group,
    list_groups,
    page_after,
)
from openpns.client.group_types import Filters
from openpns.client.requests import RawRequest, Request
from openpns.client.timestamps import ClockSkewWarning
from openpns.errors import (
    WIRE_ERRORS,
    AnswerTooLate,
    ConnectFailed,
    ConnectionLost,
    OpenPNSError,
    OutcomeUnknown,
    RateLimited,
    TimestampExpired,
)

READ = list_groups()
WRITE = add_phones("b8c2", PHONE)
CREATE = create_group(PHONE)
RAW = RawRequest("newAction", {"phones": PHONE})
PAGE = reply(data={"groups": [], "total": 0})
CREATED = reply(groupId="b8c2")
NOT_OPENPNS = reply(1002)
FAR_MS = 90_000


def make_exchanger(retries: int = 2, now_ms: int = DATE_MS, **settings: Any) -> Exchanger:
    return Exchanger(make_config(retries=retries, **settings), Clock(now_ms), lambda: 0.5)


def make_informed(**settings: Any) -> Exchanger:
    """An exchanger that knows that the server is openpns."""
    exchanger = make_exchanger(**settings)
    assert Run(exchanger, get_limits(), [LIMITS]).error is None
    return exchanger


def good(request: Request[Any]) -> Response:
    return PAGE if request is READ else CREATED


def lost() -> ConnectionLost:
    return ConnectionLost("createGroup", "reset")


# The failure, whether a read is sent again after it, whether a write is, and whether the outcome
# of a write is unknown. A write with a clientToken is sent again like a read if the server is
# openpns.
RETRIES: list[tuple[str, Callable[[], Response | OpenPNSError], bool, bool]] = [
    ("not sent", lambda: ConnectFailed("x", "refused"), True, True),
    ("connection lost", lambda: ConnectionLost("x", "reset"), True, False),
    ("too late", lambda: AnswerTooLate("x", "30 s"), True, False),
    ("19003", lambda: reply(19003), True, True),
    ("19004", lambda: reply(19004, 503), True, True),
    ("19006", lambda: reply(19006, 503), True, False),
    ("19005", lambda: reply(19005, 500), False, False),
    ("page 429", lambda: reply(None, 429), True, False),
    ("page 502", lambda: reply(None, 502), True, False),
    ("page 503", lambda: reply(None, 503), True, False),
    ("page 504", lambda: reply(None, 504), True, False),
    ("page 200", lambda: reply(None, 200), False, False),
    ("page 301", lambda: reply(None, 301), False, False),
    ("page 404", lambda: reply(None, 404), False, False),
    ("page 500", lambda: reply(None, 500), False, False),
    ("unknown", lambda: reply(77), False, False),
]
each_failure = pytest.mark.parametrize(
    ("failure", "reads", "writes"), [row[1:] for row in RETRIES], ids=[row[0] for row in RETRIES]
)
WRITES = {"add": WRITE, "create": CREATE, "delete": delete_group("b8c2")}


@pytest.mark.parametrize("request_", [READ, *WRITES.values()], ids=["read", *WRITES])
@each_failure
def test_exchange_resends_reads_and_writes_to_openpns(
    request_: Request[Any],
    failure: Callable[[], Response | OpenPNSError],
    reads: bool,
    writes: bool,
) -> None:
    responses = [failure(), good(request_)] if reads else [failure()]
    run = Run(make_informed(), request_, responses)
    assert (run.error is None) == reads
    assert len(run.sent) == 1 + reads
    assert len(run.waited_s) == reads


def not_resent(request: Request[Any], **settings: Any) -> Any:
    return request, settings


@pytest.mark.parametrize(
    ("request_", "settings"),
    [not_resent(RAW), *(not_resent(write, retry_writes=False) for write in WRITES.values())],
    ids=["raw", *WRITES],
)
@each_failure
def test_exchange_resends_other_writes_only_if_nothing_was_done(
    request_: Request[Any],
    settings: dict[str, Any],
    failure: Callable[[], Response | OpenPNSError],
    reads: bool,
    writes: bool,
) -> None:
    responses = [failure(), CREATED] if writes else [failure()]
    run = Run(make_informed(**settings), request_, responses)
    assert (run.error is None) == writes
    assert len(run.sent) == 1 + writes


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@each_failure
def test_exchange_asks_for_limits_before_it_resends_a_write(
    write: Request[Any],
    failure: Callable[[], Response | OpenPNSError],
    reads: bool,
    writes: bool,
) -> None:
    is_unknown = reads and not writes
    responses = [failure(), *[LIMITS] * is_unknown, *[CREATED] * reads]
    run = Run(make_exchanger(), write, responses)
    assert (run.error is None) == reads
    assert run.actions == [
        write.action,
        *["getLimits"] * is_unknown,
        *[write.action] * reads,
    ]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    "answer",
    [
        lambda: NOT_OPENPNS,
        lambda: reply(1004, headers={"date": DATE}),
        lambda: reply(19003),
        lambda: reply(7),
        reply,
        lambda: reply(data={"groups": [], "total": 0}),
        lambda: reply(None, 502),
        lambda: ConnectFailed("x", "refused"),
        lambda: AnswerTooLate("x", "30 s"),
    ],
)
def test_exchange_raises_first_error_if_server_may_not_be_openpns(
    write: Request[Any], answer: Callable[[], Response | OpenPNSError]
) -> None:
    first = lost()
    run = Run(make_exchanger(), write, [first, answer()])
    assert run.error is first
    assert first.__cause__ is first.__context__ is None
    assert run.actions == [write.action, "getLimits"]
    assert len(run.waited_s) == 1


@pytest.mark.parametrize(
    ("extension", "response"),
    [
        (get_limits(), LIMITS),
        (page_after("", 1, Filters()), reply(data={"groups": [], "total": 0, "next": None})),
        (
            get_group("g"),
            reply(data={"groupId": "g", "count": 0, "createdMs": 1, "updatedMs": 1}),
        ),
    ],
)
def test_exchange_recognises_openpns_by_an_extension(
    extension: Request[Any], response: Response
) -> None:
    exchanger = make_exchanger()
    assert Run(exchanger, extension, [response]).error is None
    assert Run(exchanger, CREATE, [lost(), CREATED]).result == "b8c2"


@pytest.mark.parametrize(
    ("request_", "response"), [(READ, PAGE), (CREATE, CREATED), (RAW, LIMITS), (WRITE, reply())]
)
def test_exchange_does_not_recognise_openpns_by_other_requests(
    request_: Request[Any], response: Response
) -> None:
    exchanger = make_exchanger()
    assert Run(exchanger, request_, [response]).error is None
    assert Run(exchanger, CREATE, [lost(), NOT_OPENPNS]).error is not None


def test_exchange_asks_for_limits_once() -> None:
    exchanger = make_exchanger()
    run = Run(exchanger, CREATE, [lost(), LIMITS, lost(), CREATED])
    assert run.actions == ["createGroup", "getLimits", "createGroup", "createGroup"]
    assert Run(exchanger, CREATE, [lost(), CREATED]).result == "b8c2"


def token_of(run: Run) -> str:
    (content,) = {send.content for send in run.sent if send.headers["action"] != "getLimits"}
    return str(json.loads(content)["clientToken"])


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("retry_writes", [True, False])
def test_exchange_sends_a_random_client_token_with_a_write(
    write: Request[Any], retry_writes: bool
) -> None:
    exchanger = make_exchanger(retry_writes=retry_writes)
    tokens = [token_of(Run(exchanger, write, [reply(19004), CREATED])) for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize("request_", [READ, RAW, get_limits()])
def test_exchange_sends_no_client_token_with_other_requests(request_: Request[Any]) -> None:
    (send,) = Run(make_exchanger(), request_, [reply(1002)]).sent
    assert b"clientToken" not in send.content


def test_exchange_sends_a_given_client_token() -> None:
    run = Run(make_informed(), create_group(PHONE, client_token="order-7"), [lost(), CREATED])
    assert token_of(run) == "order-7"


LATER: dict[str, Callable[[], Response | OpenPNSError]] = {
    "not sent": lambda: ConnectFailed("createGroup", "refused"),
    "19003": lambda: reply(19003, headers={"retry-after": "31"}),
    "19004": lambda: reply(19004, 503),
    "19005": lambda: reply(19005, 500),
    "1004": lambda: reply(1004),
    "1005": lambda: reply(1005),
    "1002": lambda: reply(1002),
    "lost too": lambda: AnswerTooLate("createGroup", "30 s"),
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize(
    "first", [lambda: ConnectionLost("createGroup", "reset"), lambda: reply(19006, 503)]
)
def test_exchange_raises_first_error_if_the_resent_write_fails(
    first: Callable[[], Response | OpenPNSError], later: Callable[[], Response | OpenPNSError]
) -> None:
    run = Run(make_informed(retries=1), CREATE, [first(), later()])
    assert len(run.sent) == 2
    assert isinstance(run.error, ConnectionLost | OutcomeUnknown)
    assert run.error.__cause__ is not None


@pytest.mark.parametrize("code", [19001, 19002, 19007])
def test_exchange_raises_a_refusal_of_the_resent_write(code: int) -> None:
    run = Run(make_informed(), WRITE, [lost(), reply(code)])
    assert type(run.error) is WIRE_ERRORS[code]


@pytest.mark.parametrize("code", [*set(WIRE_ERRORS) - {1004, 19003, 19004, 19006}, 10005, -1])
def test_exchange_does_not_resend_after_any_other_code(code: int) -> None:
    assert len(Run(make_exchanger(), READ, [reply(code)]).sent) == 1


def test_exchange_raises_last_error_of_a_read() -> None:
    run = Run(make_exchanger(retries=3), READ, [ConnectFailed("x", str(n)) for n in range(4)])
    assert run.error is not None
    assert str(run.error) == "x: 3"
    assert len(run.sent) == 4


def test_exchange_sends_once_without_retries() -> None:
    assert len(Run(make_exchanger(retries=0), READ, [reply(19004)]).sent) == 1


def test_exchange_waits_longer_up_to_a_bound() -> None:
    failures = [ConnectFailed("x", "refused") for _ in range(1501)]
    for jitter in (0.0, 1.0):
        exchanger = Exchanger(make_config(retries=1500), Clock(), lambda jitter=jitter: jitter)
        waits = Run(exchanger, READ, failures).waited_s
        expected = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert waits[:7] == pytest.approx([wait * (0.5 + jitter / 2) for wait in expected])
        assert max(waits) <= 5.0


@pytest.mark.parametrize("code", [19003, 19004])
@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
def test_exchange_obeys_retry_after(code: int, request_: Request[Any]) -> None:
    asked = reply(code, headers={"retry-after": "7"})
    (waited_s,) = Run(make_exchanger(), request_, [asked, good(request_)]).waited_s
    assert 7 <= waited_s < 8


def test_exchange_raises_if_retry_after_is_too_long() -> None:
    run = Run(make_exchanger(), READ, [reply(19003, headers={"retry-after": "31"})])
    assert isinstance(run.error, RateLimited)
    assert run.error.retry_after_s == 31
    assert run.waited_s == []


def test_exchange_obeys_retry_after_of_a_gateway() -> None:
    page = reply(None, 503, headers={"retry-after": "3"})
    (waited_s,) = Run(make_exchanger(), READ, [page, PAGE]).waited_s
    assert waited_s >= 3


def test_exchange_signs_each_attempt_over_the_same_bytes() -> None:
    run = Run(make_exchanger(), create_group(PHONE, "柏林"), [reply(19004), reply(19004), CREATED])
    assert len({send.content for send in run.sent}) == 1
    assert len({send.headers["ts"] for send in run.sent}) == 3
    assert run.result == "b8c2"
    for send in run.sent:
        text = b"accessKey=%s&action=createGroup&bizType=5&ts=%s&body=%s&accessSecret=%s" % (
            ACCESS_KEY.encode(),
            send.headers["ts"].encode(),
            send.content,
            SECRET.encode(),
        )
        assert send.headers == {
            "accessKey": ACCESS_KEY,
            "action": "createGroup",
            "bizType": "5",
            "ts": send.headers["ts"],
            "sign": hashlib.md5(text).hexdigest(),
            "Content-Type": "application/json",
        }


def test_exchange_encodes_the_body_once() -> None:
    body = {"phones": "1"}
    request: Request[Any] = Request("createGroup", body, lambda envelope: envelope)
    steps = make_exchanger().exchange(request)
    first = next(steps)
    body["phones"] = "2"
    steps.send(reply(19004))
    again = steps.send(None)
    assert first.content == again.content == b'{"phones":"1"}'  # type: ignore[union-attr]
    steps.close()


def test_exchange_names_sha256_in_a_header() -> None:
    (send,) = Run(make_exchanger(algorithm="sha256"), READ, [PAGE]).sent
    assert send.headers["algorithm"] == "sha256"
    text = (
        f"accessKey={ACCESS_KEY}&action=listGroup&bizType=5&ts={send.headers['ts']}"
        f"&body={send.content.decode()}&accessSecret={SECRET}"
    )
    assert send.headers["sign"] == hashlib.sha256(text.encode()).hexdigest()


def expired(date: str | None = DATE) -> Response:
    return reply(1004, headers={"date": date} if date else {})


@pytest.mark.parametrize("request_", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(
    ("off_ms", "text"), [(-FAR_MS, "90 s behind"), (FAR_MS, "90 s ahead of")], ids=["-", "+"]
)
def test_exchange_corrects_a_wrong_clock(request_: Request[Any], off_ms: int, text: str) -> None:
    exchanger = make_exchanger(retries=0, now_ms=DATE_MS + off_ms)
    with pytest.warns(ClockSkewWarning, match=text) as warned:
        run = Run(exchanger, request_, [expired(), good(request_)])
    assert len(warned) == 1
    assert run.error is None
    assert run.waited_s == []
    assert abs(int(run.sent[0].headers["ts"]) - DATE_MS) >= FAR_MS - 1000
    assert abs(int(run.sent[1].headers["ts"]) - DATE_MS) < 1000
    later = Run(exchanger, request_, [good(request_)])
    assert abs(int(later.sent[0].headers["ts"]) - DATE_MS) < 1000


def test_exchange_corrects_again_after_the_clock_was_set() -> None:
    clock = Clock(DATE_MS - FAR_MS)
    exchanger = Exchanger(make_config(), clock)
    with pytest.warns(ClockSkewWarning):
        Run(exchanger, READ, [expired(), PAGE])
    clock.now_ms = DATE_MS
    run = Run(exchanger, READ, [expired(), PAGE])
    assert run.error is None
    assert abs(int(run.sent[1].headers["ts"]) - DATE_MS) < 1000


def test_exchange_resends_after_another_thread_corrected_the_clock() -> None:
    exchanger = make_exchanger(now_ms=DATE_MS - FAR_MS)
    early = exchanger.exchange(READ)
    next(early)
    with pytest.warns(ClockSkewWarning):
        Run(exchanger, READ, [expired(), PAGE])
    again = early.send(expired())
    assert abs(int(again.headers["ts"]) - DATE_MS) < 1000  # type: ignore[union-attr]
    early.close()


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([expired(None)], id="no Date"),
        pytest.param([expired("yesterday")], id="not a date"),
        pytest.param([expired("Fri, 31 Dec 9999 23:59:59 -2300")], id="out of range"),
        pytest.param(
            [expired(format_datetime(datetime.fromtimestamp(DATE_MS / 1000, UTC)))],
            id="the clock is right",
        ),
    ],
)
def test_exchange_raises_expired_without_a_known_difference(answers: list[Response]) -> None:
    run = Run(make_exchanger(), READ, answers)
    assert isinstance(run.error, TimestampExpired)


def test_exchange_corrects_the_clock_once_per_request() -> None:
    later = format_datetime(datetime.fromtimestamp(DATE_MS / 1000, UTC) + timedelta(hours=1))
    with pytest.warns(ClockSkewWarning):
        run = Run(make_exchanger(now_ms=DATE_MS - FAR_MS), READ, [expired(), expired(later)])
    assert isinstance(run.error, TimestampExpired)


def test_exchange_does_not_count_a_correction_as_a_retry() -> None:
    with pytest.warns(ClockSkewWarning):
        run = Run(make_exchanger(retries=1, now_ms=0), READ, [reply(19004), expired(), PAGE])
    assert run.error is None


def test_raw_request_returns_the_envelope() -> None:
    run = Run(make_exchanger(), RawRequest("newAction", {"a": 1}), [reply(data={"b": 2})])
    assert run.sent[0].headers["action"] == "newAction"
    assert run.sent[0].content == b'{"a":1}'
    assert run.result["data"] == {"b": 2}


@pytest.mark.parametrize(("is_read", "attempts"), [(True, 2), (False, 1)])
def test_raw_request_is_a_write_by_default(is_read: bool, attempts: int) -> None:
    answers = [ConnectionLost("x", "reset"), reply()][:attempts]
    run = Run(make_exchanger(), RawRequest("newAction", is_read=is_read), answers)
    assert len(run.sent) == attempts


def shown(error: BaseException) -> str:
    """A traceback as error trackers keep it: with all variables."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


FAILURES = {
    "refused": reply(1003),
    "not of this API": reply(None, 500),
    "not of this action": Response(200, {}, b'{"code":0,"groupId":null,"phones":"85211111114"}'),
    "not sent": ConnectFailed("createGroup", "refused"),
    "lost": ConnectionLost("createGroup", "reset"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_traceback_shows_no_secret_and_no_phone_number(
    failure: Response | OpenPNSError,
) -> None:
    run = Run(make_exchanger(retries=0), create_group([PHONE]), [failure])
    assert run.error is not None
    text = shown(run.error)
    assert "exchange" in text
    assert SECRET not in text
    assert PHONE not in text


def test_reprs_show_no_body() -> None:
    run = Run(make_exchanger(), WRITE, [CREATED])
    assert PHONE not in repr(run.sent) + repr(WRITE)
    assert "b8c2" not in repr(CREATED)
    assert repr(WRITE) == "Request('updateGroup')"
    assert repr(RawRequest("newAction", {"phones": PHONE})) == "RawRequest('newAction')"


def test_exchange_does_not_warn_if_the_clock_is_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Run(make_exchanger(), READ, [PAGE]).error is None
