"""The requests for bindings and virtual numbers: what each sends, and how it reads the response."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from openpns.api.registry import ACTIONS
from openpns.bindings.wire import Bound
from openpns.client import binding_requests as requests
from openpns.client.binding_types import (
    Binding,
    BindingDetails,
    BindingFilters,
    BindingPage,
    CallDecision,
    CallExplanation,
)
from openpns.client.number_requests import list_numbers
from openpns.client.requests import Request
from openpns.errors import ParameterError

A, B, X = "85211111111", "85222222222", "85290000001"

SENT: list[tuple[Request[Any], str, Any]] = [
    (
        requests.bind_axb(A, B, expire_s=60),
        "bindAXB",
        {"phoneA": A, "phoneB": B, "expireSecond": 60},
    ),
    (
        requests.bind_axb(
            A,
            B,
            expire_s=0,
            record=True,
            customer_bind_id="order 7",
            business_id="food",
            client_token="t",
            dry_run=True,
        ),
        "bindAXB",
        {
            "phoneA": A,
            "phoneB": B,
            "businessId": "food",
            "expireSecond": 0,
            "flag": 1,
            "customerBindId": "order 7",
            "clientToken": "t",
            "dryRun": True,
        },
    ),
    (
        requests.bind_extension(A, X, "042", expire_s=60, phone_b=B),
        "bindAXBExtension",
        {"phoneA": A, "phoneB": B, "phoneX": X, "extension": "042", "expireSecond": 60},
    ),
    (
        requests.bind_axg(A, "g", expire_s=60, did=X, phone_b=B),
        "bindAXG",
        {"phoneA": A, "phoneX": X, "phoneB": B, "groupId": "g", "expireSecond": 60},
    ),
    (
        requests.bind_axg(A, "g", expire_s=60),
        "bindAXG",
        {"phoneA": A, "groupId": "g", "expireSecond": 60},
    ),
    (requests.unbind("b"), "unbindAXB", {"bindId": "b"}),
    (
        requests.unbind("b", customer_bind_id="o", client_token="t"),
        "unbindAXB",
        {"bindId": "b", "customerBindId": "o", "clientToken": "t"},
    ),
    (requests.unbind(), "unbindAXB", {}),
    (
        requests.update_binding("b", expire_s=0, phone_b="", record=False),
        "updateBinding",
        {"bindId": "b", "expireSecond": 0, "phoneB": "", "flag": 0},
    ),
    (
        requests.update_binding(customer_bind_id="o", record=True),
        "updateBinding",
        {"customerBindId": "o", "flag": 1},
    ),
    (requests.get_binding("b"), "getBinding", {"bindId": "b"}),
    (requests.list_bindings(10, 20), "getAXBList", {"limit": 10, "offset": 20}),
    (
        requests.page_after("", 5, BindingFilters(A, X, "g", "axg", "o")),
        "getAXBList",
        {
            "limit": 5,
            "after": "",
            "phone": A,
            "did": X,
            "groupId": "g",
            "kind": "axg",
            "customerBindId": "o",
        },
    ),
    (requests.query_call(A, X), "queryAXB", {"caller": A, "did": X}),
    (
        requests.query_call(A, X, "042"),
        "queryAXB",
        {"caller": A, "did": X, "extension": "042"},
    ),
    (
        requests.explain_call(A, X, "042", at=datetime(2022, 12, 8, tzinfo=UTC)),
        "explainCall",
        {"caller": A, "did": X, "extension": "042", "at": 1_670_457_600},
    ),
    (list_numbers(), "listNumbers", {"limit": 1000, "after": ""}),
    (
        list_numbers(5, X, did=X, state="active"),
        "listNumbers",
        {"limit": 5, "after": X, "did": X, "state": "active"},
    ),
]


@pytest.mark.parametrize(("request_", "action", "body"), SENT)
def test_request_has_action_and_body(request_: Request[Any], action: str, body: Any) -> None:
    assert (request_.action, request_.body) == (action, body)
    is_write = ACTIONS[action].is_write
    assert (request_.is_read, request_.has_client_token) == (not is_write, is_write)


def test_every_action_on_bindings_has_a_request() -> None:
    features = ("openpns.bindings.", "openpns.numbers.", "openpns.routing.")
    of_bindings = {
        name for name, action in ACTIONS.items() if action.request.__module__.startswith(features)
    }
    assert {action for _, action, _ in SENT} == of_bindings


def test_dry_run_is_sent_to_openpns_only() -> None:
    for request in (
        requests.bind_axb(A, B, expire_s=0, dry_run=True),
        requests.bind_extension(A, X, "042", expire_s=0, dry_run=True),
        requests.bind_axg(A, "g", expire_s=0, dry_run=True),
    ):
        assert request.probe is not None
        assert (request.probe.action, request.probe.is_extension) == ("listNumbers", True)
    assert requests.bind_axb(A, B, expire_s=0).probe is None


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"phone_a": 85211111111}, "phoneA"),
        ({"phone_b": None}, "phoneB"),
        ({"expire_s": "60"}, "expireSecond"),
        ({"expire_s": True}, "expireSecond"),
        ({"expire_s": 1.5}, "expireSecond"),
        ({"record": 1}, "flag"),
        ({"customer_bind_id": 7}, "customerBindId"),
        ({"dry_run": "no"}, "dryRun"),
        ({"client_token": ""}, "clientToken"),
    ],
)
def test_argument_of_another_type_is_refused(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ParameterError, match=field):
        requests.bind_axb(**({"phone_a": A, "phone_b": B, "expire_s": 0} | arguments))


def test_update_needs_a_change_and_explain_a_time_zone() -> None:
    with pytest.raises(ValueError, match="one of expire_s, phone_b and record"):
        requests.update_binding("b")
    with pytest.raises(ValueError, match="time zone"):
        requests.explain_call(A, X, at=datetime(2022, 12, 8))  # noqa: DTZ001


ROW = {
    "customerId": "cus_1",
    "businessId": "default",
    "bindId": "b",
    "customerBindId": "",
    "phoneA": A,
    "phoneB": "",
    "did": X,
    "flag": 1,
    "expireAt": 1_670_457_600,
    "extension": "042",
}
BINDING = Binding(
    "b", X, A, None, "042", True, datetime(2022, 12, 8, tzinfo=UTC), None, "default", "cus_1"
)
DETAIL = ROW | {"kind": "extension", "groupId": "", "createdAt": 1, "lastCallAt": 0}


@pytest.mark.parametrize(
    ("request_", "data", "result"),
    [
        (requests.bind_axb(A, B, expire_s=0), {"bindId": "b", "did": X}, Bound("b", X)),
        (
            requests.list_bindings(),
            {"bindList": [ROW], "total": 7},
            BindingPage([BINDING], 7),
        ),
        (
            requests.list_bindings(),
            {"bindList": [{"bindId": "b", "did": X}], "total": 1},
            BindingPage([Binding("b", X, "", None, None, False, None, None, "", "")], 1),
        ),
        (
            requests.get_binding("b"),
            DETAIL,
            BindingDetails(
                *msgspec.structs.astuple(BINDING),
                "extension",
                None,
                datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
                None,
            ),
        ),
        (
            requests.query_call(A, X),
            {
                "callee": B,
                "callId": "1",
                "flag": 1,
                "audioWhenCallFail": "https://x/f.wav",
                "bindType": 2,
                "audioWhenDtmfErr": "",
                "audioWhenDtmfNeed": "",
            },
            CallDecision(B, "1", True, "axg", "https://x/f.wav", None, None),
        ),
        (
            requests.query_call(A, X, "042"),
            {"callee": B, "callId": "1", "extension": "042", "flag": 0, "audioWhenCallFail": ""},
            CallDecision(B, "1", False, None, None, None, None),
        ),
        (
            requests.query_call(A, X),
            {"callee": "", "callId": "1", "flag": 0, "bindType": 4},
            CallDecision(None, "1", False, "extension", None, None, None),
        ),
        (
            requests.explain_call(A, X),
            {"callee": "", "bindId": "b", "reason": "expired", "details": "it ran out"},
            CallExplanation(None, "b", "expired", "it ran out"),
        ),
    ],
)
def test_response_is_read_into_a_result(request_: Request[Any], data: Any, result: Any) -> None:
    read = request_.read({"code": 0, "data": data})
    assert (type(read), read) == (type(result), result)


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (requests.bind_axb(A, B, expire_s=0), None),
        (requests.list_bindings(), {"bindList": [{}], "total": 1}),
        (requests.get_binding("b"), ROW),
        (requests.get_binding("b"), DETAIL | {"expireAt": 10**15}),
        (requests.page_after("", 5, BindingFilters()), {"bindList": [], "total": 0}),
        (requests.query_call(A, X), {"callee": B}),
        (requests.explain_call(A, X), {"callee": B}),
        (list_numbers(), {"numbers": []}),
    ],
)
def test_read_refuses_another_response(request_: Request[Any], data: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        request_.read({"code": 0, "data": data})


def test_reprs_show_no_phones() -> None:
    decision = CallDecision(B, "1", True, "axb", None, None, None)
    explanation = CallExplanation(B, "b", "axb", "")
    shown = repr([BINDING, decision, explanation, BindingFilters(A), Bound("b", X)])
    assert not any(phone in shown for phone in (A, B))
