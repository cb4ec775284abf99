import hashlib
import hmac
import re
import traceback
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.client.fake_server import (
    ACCESS_KEY,
    CREATED,
    DATE,
    DATE_MS,
    PAGE,
    PHONE,
    READ,
    SECRET,
    WRITE,
    Clock,
    Run,
    good,
    make_config,
    make_exchanger,
    reply,
)

from openpns.client.answers import Response
from openpns.client.exchange import Exchanger
from openpns.client.group_requests import (
    create_group,
)
from openpns.client.requests import RawRequest, Request
from openpns.client.timestamps import ClockSkewWarning
from openpns.errors import (
    ConnectFailed,
    ConnectionLost,
    OpenPNSError,
    ServiceUnavailable,
    TimestampExpired,
)

FAR_MS = 90_000


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


def test_equal_writes_of_two_clients_with_one_clock_have_two_signatures() -> None:
    sent = [Run(make_exchanger(), create_group(PHONE), [CREATED]).sent[0] for _ in range(2)]
    assert sent[0].headers["ts"] == sent[1].headers["ts"]
    assert sent[0].headers["sign"] != sent[1].headers["sign"]


def test_exchange_names_sha256_in_a_header() -> None:
    (send,) = Run(make_exchanger(algorithm="sha256"), READ, [PAGE]).sent
    assert send.headers["algorithm"] == "sha256"
    text = (
        f"accessKey={ACCESS_KEY}&action=listGroup&bizType=5&ts={send.headers['ts']}"
        f"&body={send.content.decode()}&accessSecret={SECRET}"
    )
    assert send.headers["sign"] == hashlib.sha256(text.encode()).hexdigest()


def test_exchange_signs_each_attempt_with_a_nonce_of_its_own() -> None:
    exchanger = make_exchanger(algorithm="hmac-sha256", url="http://PNS.test:8080/v1/api/pns")
    sent = Run(exchanger, create_group(PHONE, "柏林"), [reply(19004), CREATED]).sent
    assert len({send.headers["nonce"] for send in sent}) == 2
    for send in sent:
        headers = send.headers
        assert re.fullmatch(r"[A-Za-z0-9_-]{16,64}", headers["nonce"])
        parts = ("OPENPNS-HMAC-SHA256", "POST", "pns.test:8080", "/v1/api/pns", "application/json")
        parts += (ACCESS_KEY, "createGroup", "5", headers["ts"], headers["nonce"])
        text = "\n".join((*parts, hashlib.sha256(send.content).hexdigest()))
        assert headers["sign"] == hmac.new(SECRET.encode(), text.encode(), "sha256").hexdigest()
        assert (headers["algorithm"], headers["Host"]) == ("hmac-sha256", "pns.test:8080")


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
    exchanger = make_exchanger(retries=1, now_ms=DATE_MS - FAR_MS)
    with pytest.warns(ClockSkewWarning):
        run = Run(exchanger, READ, [reply(19004), expired(), PAGE])
    assert run.error is None


@pytest.mark.parametrize("off_ms", [-301_000, 301_000])
def test_exchange_does_not_sign_for_a_time_far_from_its_own(off_ms: int) -> None:
    exchanger = make_exchanger(now_ms=DATE_MS + off_ms)
    run = Run(exchanger, READ, [expired()])
    assert isinstance(run.error, TimestampExpired)
    assert re.search(
        r"requestId 1602262837283131392\]; this machine's clock is 301 s (behind|ahead of) the "
        r"server's clock, and this client corrects at most 300 s \(clock_skew_s_max\): synchronise",
        str(run.error),
    )
    (later,) = Run(exchanger, READ, [PAGE]).sent
    assert abs(int(later.headers["ts"]) - DATE_MS - off_ms) < 1000


def test_exchange_corrects_more_only_if_it_is_allowed_to() -> None:
    far = make_exchanger(now_ms=0, clock_skew_s_max=2e9)
    with pytest.warns(ClockSkewWarning):
        run = Run(far, READ, [expired(), PAGE])
    assert run.error is None
    never = make_exchanger(now_ms=DATE_MS - FAR_MS, clock_skew_s_max=0)
    assert isinstance(Run(never, READ, [expired()]).error, TimestampExpired)


def test_exchange_does_not_learn_the_time_by_plain_http() -> None:
    url = "http://pns.test/api/pns/"
    run = Run(make_exchanger(now_ms=DATE_MS - FAR_MS, url=url), READ, [expired()])
    assert "does not take the time from a response by plain HTTP" in str(run.error)
    run = Run(make_exchanger(url=url), READ, [expired()])
    assert str(run.error).endswith("requestId 1602262837283131392]")  # the clock is right
    local = make_exchanger(now_ms=DATE_MS - FAR_MS, url="http://127.0.0.1:8080/api/pns/")
    with pytest.warns(ClockSkewWarning):
        run = Run(local, READ, [expired(), PAGE])
    assert run.error is None


def test_exchange_does_not_wait_beyond_its_deadline() -> None:
    now = [100.0]
    exchanger = Exchanger(make_config(deadline_s=3), Clock(), lambda: 0.5, monotonic=lambda: now[0])
    soon, late = ({"retry-after": text} for text in ("1", "3"))
    run = Run(exchanger, READ, [reply(19004, headers=soon), reply(19004, headers=late)])
    assert isinstance(run.error, ServiceUnavailable)
    assert len(run.waited_s) == 1
    assert {send.deadline for send in run.sent} == {103.0}
    now[0] = 200.0
    assert Run(exchanger, READ, [PAGE]).sent[0].deadline == 203.0


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
