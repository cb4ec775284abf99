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
    PHONE,
    SECRET,
    Clock,
    Run,
    make_config,
    reply,
)

from openpns.client.exchange import ClockSkewWarning, Core, Response
from openpns.client.requests import Call, Request, add_phones, create_group, list_groups
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
PAGE = reply(data={"groups": [], "total": 0})
CREATED = reply(groupId="b8c2")
FAR_MS = 90_000


def make_core(retries: int = 2, now_ms: int = DATE_MS, **settings: Any) -> Core:
    return Core(make_config(retries=retries, **settings), Clock(now_ms), lambda: 0.5)


def good(call: Call[Any]) -> Response:
    return PAGE if call is READ else CREATED


# What is retried: the answer, and whether a read and a write are sent again after it. What the
# server knows by a client token is sent again as a read is.
RETRIES: list[tuple[str, Callable[[], Response | OpenPNSError], bool, bool]] = [
    ("never left", lambda: ConnectFailed("x", "refused"), True, True),
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


@pytest.mark.parametrize("call", [READ, WRITE, CREATE], ids=["read", "write", "create"])
@pytest.mark.parametrize(
    ("failure", "reads", "writes"), [row[1:] for row in RETRIES], ids=[row[0] for row in RETRIES]
)
def test_a_call_is_sent_again_only_where_that_cannot_do_it_twice(
    call: Call[Any],
    failure: Callable[[], Response | OpenPNSError],
    reads: bool,
    writes: bool,
) -> None:
    again = writes if call is WRITE else reads
    run = Run(make_core(), call, [failure(), good(call)] if again else [failure()])
    assert (run.error is None) == again
    assert len(run.sent) == 1 + again
    assert len(run.waited_s) == again


@pytest.mark.parametrize(
    ("failure", "writes"), [(row[1], row[3]) for row in RETRIES], ids=[row[0] for row in RETRIES]
)
def test_a_create_is_any_write_where_the_server_knows_no_client_token(
    failure: Callable[[], Response | OpenPNSError], writes: bool
) -> None:
    core = make_core(retry_creates=False)
    run = Run(core, CREATE, [failure(), CREATED] if writes else [failure()])
    assert len(run.sent) == 1 + writes
    assert {send.content for send in run.sent} == {b'{"phones":"%s"}' % PHONE.encode()}


def token_of(run: Run) -> str:
    (content,) = {send.content for send in run.sent}
    return str(json.loads(content)["clientToken"])


def test_a_create_has_a_token_of_its_own_the_same_in_each_try() -> None:
    lost = ConnectionLost("createGroup", "reset")
    runs = [Run(make_core(), CREATE, [lost, reply(19006, 503), CREATED]) for _ in range(2)]
    tokens = [token_of(run) for run in runs]
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)
    assert tokens[0] != tokens[1]
    assert [run.result for run in runs] == ["b8c2", "b8c2"]


@pytest.mark.parametrize("retry_creates", [True, False])
def test_a_token_of_the_callers_is_sent_as_it_is(retry_creates: bool) -> None:
    core = make_core(retry_creates=retry_creates)
    lost = ConnectionLost("createGroup", "reset")
    run = Run(core, create_group(PHONE, client_token="order-7"), [lost, CREATED])
    assert token_of(run) == "order-7"


LATER: dict[str, Callable[[], Response | OpenPNSError]] = {
    "never left": lambda: ConnectFailed("createGroup", "refused"),
    "19003": lambda: reply(19003, headers={"retry-after": "31"}),
    "19004": lambda: reply(19004, 503),
    "19005": lambda: reply(19005, 500),
    "1004": lambda: reply(1004),
    "1005": lambda: reply(1005),
    "lost too": lambda: AnswerTooLate("createGroup", "30 s"),
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
@pytest.mark.parametrize(
    "first", [lambda: ConnectionLost("createGroup", "reset"), lambda: reply(19006, 503)]
)
def test_what_befalls_a_retry_does_not_hide_that_the_first_try_is_in_doubt(
    first: Callable[[], Response | OpenPNSError], later: Callable[[], Response | OpenPNSError]
) -> None:
    run = Run(make_core(retries=1), CREATE, [first(), later()])
    assert len(run.sent) == 2
    assert isinstance(run.error, ConnectionLost | OutcomeUnknown)
    assert run.error.__cause__ is not None


@pytest.mark.parametrize("code", [*set(WIRE_ERRORS) - {1004, 19003, 19004, 19006}, 10005, -1])
def test_no_other_code_is_retried(code: int) -> None:
    assert len(Run(make_core(), READ, [reply(code)]).sent) == 1


def test_the_last_error_is_raised_when_the_tries_are_used_up() -> None:
    run = Run(make_core(retries=3), READ, [ConnectFailed("x", str(n)) for n in range(4)])
    assert run.error is not None
    assert str(run.error) == "x: 3"
    assert len(run.sent) == 4


def test_no_retries_means_one_try() -> None:
    assert len(Run(make_core(retries=0), READ, [reply(19004)]).sent) == 1


def test_waits_grow_up_to_a_bound_and_are_spread() -> None:
    failures = [ConnectFailed("x", "refused") for _ in range(1501)]
    for jitter in (0.0, 1.0):
        core = Core(make_config(retries=1500), Clock(), lambda jitter=jitter: jitter)
        waits = Run(core, READ, failures).waited_s
        expected = [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert waits[:7] == pytest.approx([wait * (0.5 + jitter / 2) for wait in expected])
        assert max(waits) <= 5.0


@pytest.mark.parametrize("code", [19003, 19004])
@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
def test_retry_after_is_heeded(code: int, call: Call[Any]) -> None:
    asked = reply(code, headers={"retry-after": "7"})
    (waited_s,) = Run(make_core(), call, [asked, good(call)]).waited_s
    assert 7 <= waited_s < 8


def test_a_wait_that_is_too_long_is_left_to_the_caller() -> None:
    run = Run(make_core(), READ, [reply(19003, headers={"retry-after": "31"})])
    assert isinstance(run.error, RateLimited)
    assert run.error.retry_after_s == 31
    assert run.waited_s == []


def test_a_gateways_page_may_ask_for_time_too() -> None:
    page = reply(None, 503, headers={"retry-after": "3"})
    (waited_s,) = Run(make_core(), READ, [page, PAGE]).waited_s
    assert waited_s >= 3


def test_each_try_is_signed_anew_over_the_same_bytes() -> None:
    run = Run(make_core(), create_group(PHONE, "柏林"), [reply(19004), reply(19004), CREATED])
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


def test_the_body_is_written_once() -> None:
    body = {"phones": "1"}
    call: Call[Any] = Call("createGroup", body, lambda envelope: envelope)
    steps = make_core().exchange(call)
    first = next(steps)
    body["phones"] = "2"
    steps.send(reply(19004))
    again = steps.send(None)
    assert first.content == again.content == b'{"phones":"1"}'  # type: ignore[union-attr]
    steps.close()


def test_sha256_is_named_in_a_header() -> None:
    (send,) = Run(make_core(algorithm="sha256"), READ, [PAGE]).sent
    assert send.headers["algorithm"] == "sha256"
    text = (
        f"accessKey={ACCESS_KEY}&action=listGroup&bizType=5&ts={send.headers['ts']}"
        f"&body={send.content.decode()}&accessSecret={SECRET}"
    )
    assert send.headers["sign"] == hashlib.sha256(text.encode()).hexdigest()


def expired(date: str | None = DATE) -> Response:
    return reply(1004, headers={"date": date} if date else {})


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize(
    ("off_ms", "text"), [(-FAR_MS, "90 s behind"), (FAR_MS, "90 s ahead of")], ids=["-", "+"]
)
def test_a_wrong_clock_is_put_right_once_and_for_later_calls(
    call: Call[Any], off_ms: int, text: str
) -> None:
    core = make_core(retries=0, now_ms=DATE_MS + off_ms)
    with pytest.warns(ClockSkewWarning, match=text) as told:
        run = Run(core, call, [expired(), good(call)])
    assert len(told) == 1
    assert run.error is None
    assert run.waited_s == []
    assert abs(int(run.sent[0].headers["ts"]) - DATE_MS) >= FAR_MS - 1000
    assert abs(int(run.sent[1].headers["ts"]) - DATE_MS) < 1000
    later = Run(core, call, [good(call)])
    assert abs(int(later.sent[0].headers["ts"]) - DATE_MS) < 1000


def test_a_clock_that_is_set_right_meanwhile_is_learnt_again_without_a_word() -> None:
    clock = Clock(DATE_MS - FAR_MS)
    core = Core(make_config(), clock)
    with pytest.warns(ClockSkewWarning):
        Run(core, READ, [expired(), PAGE])
    clock.now_ms = DATE_MS
    run = Run(core, READ, [expired(), PAGE])
    assert run.error is None
    assert abs(int(run.sent[1].headers["ts"]) - DATE_MS) < 1000


def test_what_another_thread_has_learnt_helps_a_call_that_is_under_way() -> None:
    core = make_core(now_ms=DATE_MS - FAR_MS)
    early = core.exchange(READ)
    next(early)
    with pytest.warns(ClockSkewWarning):
        Run(core, READ, [expired(), PAGE])
    again = early.send(expired())
    assert abs(int(again.headers["ts"]) - DATE_MS) < 1000  # type: ignore[union-attr]
    early.close()


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([expired(None)], id="the server does not say its time"),
        pytest.param([expired("yesterday")], id="its time is none"),
        pytest.param([expired("Fri, 31 Dec 9999 23:59:59 -2300")], id="its time is no time"),
        pytest.param(
            [expired(format_datetime(datetime.fromtimestamp(DATE_MS / 1000, UTC)))],
            id="the clock is right",
        ),
    ],
)
def test_without_a_skew_to_learn_an_expired_call_is_an_error(answers: list[Response]) -> None:
    run = Run(make_core(), READ, answers)
    assert isinstance(run.error, TimestampExpired)


def test_an_expired_call_is_sent_again_only_once() -> None:
    later = format_datetime(datetime.fromtimestamp(DATE_MS / 1000, UTC) + timedelta(hours=1))
    with pytest.warns(ClockSkewWarning):
        run = Run(make_core(now_ms=DATE_MS - FAR_MS), READ, [expired(), expired(later)])
    assert isinstance(run.error, TimestampExpired)


def test_a_skew_does_not_use_up_a_try() -> None:
    with pytest.warns(ClockSkewWarning):
        run = Run(make_core(retries=1, now_ms=0), READ, [reply(19004), expired(), PAGE])
    assert run.error is None


def test_any_action_returns_the_whole_envelope() -> None:
    run = Run(make_core(), Request("newAction", {"a": 1}), [reply(data={"b": 2})])
    assert run.sent[0].headers["action"] == "newAction"
    assert run.sent[0].content == b'{"a":1}'
    assert run.result["data"] == {"b": 2}


@pytest.mark.parametrize(("is_read", "tries"), [(True, 2), (False, 1)])
def test_any_action_is_a_write_unless_it_says_otherwise(is_read: bool, tries: int) -> None:
    answers = [ConnectionLost("x", "reset"), reply()][:tries]
    run = Run(make_core(), Request("newAction", is_read=is_read), answers)
    assert len(run.sent) == tries


def shown(error: BaseException) -> str:
    """A traceback as error trackers keep it, with the values of all variables."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


FAILURES = {
    "refused": reply(1003),
    "not ours": reply(None, 500),
    "not of this action": Response(200, {}, b'{"code":0,"groupId":null,"phones":"85211111114"}'),
    "never left": ConnectFailed("createGroup", "refused"),
    "lost": ConnectionLost("createGroup", "reset"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_traceback_shows_neither_secret_nor_phone_number(
    failure: Response | OpenPNSError,
) -> None:
    run = Run(make_core(retries=0), create_group([PHONE]), [failure])
    assert run.error is not None
    text = shown(run.error)
    assert "exchange" in text
    assert SECRET not in text
    assert PHONE not in text


def test_what_the_core_hands_out_shows_no_body() -> None:
    run = Run(make_core(), WRITE, [CREATED])
    assert PHONE not in repr(run.sent) + repr(WRITE)
    assert "b8c2" not in repr(CREATED)
    assert repr(WRITE) == "Call('updateGroup')"
    assert repr(Request("newAction", {"phones": PHONE})) == "Request('newAction')"


def test_warnings_are_not_given_where_the_clock_is_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Run(make_core(), READ, [PAGE]).error is None
