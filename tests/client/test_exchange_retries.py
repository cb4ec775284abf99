import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.client.fake_server import (
    CREATE,
    CREATED,
    DATE,
    LIMITS,
    PAGE,
    PHONE,
    RAW,
    READ,
    WRITE,
    Clock,
    Run,
    good,
    lost,
    make_config,
    make_exchanger,
    make_informed,
    reply,
)

from openpns.client.account_requests import get_limits
from openpns.client.answers import Response
from openpns.client.exchange import Exchanger
from openpns.client.group_requests import (
    create_group,
    delete_group,
    get_group,
    page_after,
)
from openpns.client.group_types import Filters
from openpns.client.requests import Request
from openpns.errors import (
    WIRE_ERRORS,
    AnswerTooLate,
    ConnectFailed,
    ConnectionLost,
    OpenPNSError,
    OutcomeUnknown,
    RateLimited,
)

NOT_OPENPNS = reply(1002)

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


def test_exchange_does_not_ask_for_limits_with_hmac() -> None:
    run = Run(make_exchanger(algorithm="hmac-sha256"), CREATE, [lost(), CREATED])
    assert run.actions == ["createGroup", "createGroup"]


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
    busy = reply(code, headers={"retry-after": "7"})
    (waited_s,) = Run(make_exchanger(), request_, [busy, good(request_)]).waited_s
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
