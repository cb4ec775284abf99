"""The methods for number groups that send several requests, with both clients."""

import json
import traceback
from typing import Any

import httpx2
import pytest
from tests.client.fake_server import ACCESS_KEY, PHONE, SECRET
from tests.client.shells import GROUP, Server, Shell, Use, answer, page, phones

import openpns
from openpns import Client, errors


class Growing:
    """A server that adds a group with each request; it may know `after` or not."""

    def __init__(self, count: int, *, knows_after: bool = True, without_offset: int = 0) -> None:
        self.count = count
        self.request_count = 0
        self.knows_after = knows_after
        self.without_offset = without_offset

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        sent = json.loads(request.content)
        self.request_count += 1
        if "offset" not in sent and not self.knows_after and self.without_offset:
            return answer(code=self.without_offset, msg="offset is missing")
        behind = int(sent.get("after") or -1) + 1 if self.knows_after else 0
        begin = sent.get("offset", behind)
        end = min(self.count, begin + sent["limit"])
        groups = [GROUP | {"groupId": str(number)} for number in range(begin, end)]
        more: dict[str, Any] = {}
        if self.knows_after and "after" in sent:
            more = {"next": str(end - 1) if end < self.count else None}
        reply = page(*groups, total=self.count, **more)
        self.count += 1
        return reply


# What a server does that does not know `after`; 0 is to take a missing offset for 0.
SERVERS: dict[str, dict[str, Any]] = {
    "openpns": {},
    "refuses": {"knows_after": False, "without_offset": 1002},
    "refuses the offset": {"knows_after": False, "without_offset": 10012},
    "has codes of its own": {"knows_after": False, "without_offset": 7},
    "ignores": {"knows_after": False},
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("page_size", [2, 7, 1000])
def test_iterate_returns_each_group_once_while_groups_are_added(
    shell: Shell, page_size: int, kind: str
) -> None:
    server = Growing(10, **SERVERS[kind])
    found = [group.group_id for group in shell(server, lambda pns: pns.groups.iterate(page_size))]
    assert found[:10] == [str(number) for number in range(10)]
    assert len(found) == len(set(found))
    assert server.request_count == len(found) // page_size + bool(len(found) % page_size) + (
        kind != "openpns"
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda pns: pns.groups.iterate(phone="12345"),
        lambda pns: pns.groups.iterate(order="newest"),
        lambda pns: pns.groups.find(name="x"),
        lambda pns: pns.groups.find(name="x", offset=3),
        lambda pns: pns.groups.find(phone="12345", offset=3),
        lambda pns: pns.groups.find(group_id="none", offset=3),
    ],
)
@pytest.mark.parametrize("kind", ["refuses", "ignores"])
def test_find_raises_if_server_ignores_filters(shell: Shell, use: Use, kind: str) -> None:
    with pytest.raises((errors.ParameterError, errors.AnswerUnreadable)):
        shell(Growing(10, **SERVERS[kind]), use)


@pytest.mark.parametrize("error", [1003, 19003, 19004])
def test_iterate_raises_errors_that_are_not_about_after(shell: Shell, error: int) -> None:
    server = Server(answer(code=error, msg="no"))
    with pytest.raises(errors.WireError):
        shell(server, lambda pns: pns.groups.iterate(), retries=0)
    assert len(server.requests) == 1


def test_iterate_raises_for_later_page_without_next(shell: Shell) -> None:
    server = Server(page(GROUP, total=2, next="b8c2"), page(GROUP, total=2))
    with pytest.raises(errors.AnswerUnreadable, match="does not fit the request"):
        shell(server, lambda pns: pns.groups.iterate())


def test_dry_run_is_not_sent_to_another_server(shell: Shell) -> None:
    for reply in (answer(code=1002, msg="unknown action"), answer()):
        server = Server(reply)
        with pytest.raises((errors.ParameterError, errors.AnswerUnreadable)):
            shell(server, lambda pns: pns.groups.change("b8c2", add=PHONE, dry_run=True))
        assert [sent.headers["action"] for sent in server.requests] == ["listGroupPhones"]


def test_dry_run_returns_the_change(shell: Shell) -> None:
    change = {"added": 0, "removed": 1, "unchanged": 0, "count": 1}
    server = Server(phones(PHONE), answer(data=change))
    result = shell(server, lambda pns: pns.groups.change("b8c2", remove=PHONE, dry_run=True))
    assert result == openpns.GroupChange(**change)
    body = json.loads(server.requests[1].content)
    assert body.pop("clientToken")
    assert body == {"groupId": "b8c2", "operateType": 1, "phones": PHONE, "dryRun": True}


@pytest.mark.parametrize(
    ("use", "is_paging"),
    [
        (lambda pns: pns.groups.change("b8c2", add=[PHONE]), False),
        (lambda pns: pns.groups.find(phone=PHONE), False),
        (lambda pns: pns.groups.iterate(phone=PHONE), True),
        (lambda pns: pns.groups.phones("b8c2", page_size=1), True),
    ],
)
def test_traceback_of_extension_shows_no_phone_number(
    shell: Shell, use: Use, is_paging: bool
) -> None:
    first = answer(data={"groups": [GROUP], "total": 2, "next": "b8c2", "phones": PHONE})
    server = Server(*[first] * is_paging, httpx2.ReadError("reset"))
    with pytest.raises(errors.ConnectionLost) as raised:
        shell(server, use, retries=0)
    trace = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    shown = "".join(frame for frame in trace.format() if "/tests/" not in frame)
    assert "exchange" in shown
    assert PHONE not in shown


def test_iterate_requests_a_page_when_it_is_needed() -> None:
    server = Growing(10)
    with Client(
        "https://pns.test", ACCESS_KEY, SECRET, transport=httpx2.MockTransport(server)
    ) as pns:
        groups = pns.groups.iterate(page_size=2)
        assert server.request_count == 0
        assert [next(groups).group_id, next(groups).group_id] == ["0", "1"]
        assert server.request_count == 1
        with pytest.raises(ValueError, match="from 1 to 1000"):
            pns.groups.iterate(page_size=0)
