"""explainCall: who would be called, and if nobody, the nearest reason."""

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.conftest import FakeClock

from openpns.bindings import operations
from openpns.routing.explain import explain_call
from openpns.routing.wire import AT_MAX


async def test_live_bindings_explain_themselves(mine: Bindings) -> None:
    axb, did = await mine.bind(A, B)
    assert await mine.explain(A, did) == (B, axb, "axb")
    digits = await mine.bind_digits("123", C, phone_b=D)
    assert await mine.explain(A, X, extension="123") == (C, digits, "extension")
    assert await mine.explain(C, X, extension="123") == (D, digits, "extension")
    assert await mine.explain(C, X) == ("", "", "digits")
    group_id = await mine.group(D)
    axg, _ = await mine.bind_group(group_id, "85255555555", phone_x=Y)
    assert await mine.explain(D, Y) == ("85255555555", axg, "axg")
    assert await mine.explain("85255555555", Y) == ("", axg, "noPhoneB")


async def test_ended_bindings_say_how_and_when(mine: Bindings, clock: FakeClock) -> None:
    clock.now_ms = 1_670_479_632_000
    unbound, did = await mine.bind(A, B)
    await mine.unbind(unbound)
    found = await explain_call(mine.context, caller=A, did=did)
    assert (found.bind_id, found.reason) == (unbound, "unbound")
    assert found.details == "the binding was ended by unbindAXB at 2022-12-08 06:07:12 UTC"
    await mine.bind(C, D)
    expired, did = await mine.bind(C, D, 5)
    clock.now_ms += 5_000
    for _ in range(2):
        assert await mine.explain(D, did) == ("", expired, "expired")
        await mine.sweep()


@pytest.mark.parametrize("caller", [A, A[3:]])
async def test_absence_is_explained_by_what_is_nearest(mine: Bindings, caller: str) -> None:
    await mine.bind(C, D)
    assert (await mine.explain(caller))[2] == "notBound"
    _, did = await mine.bind(A, B)
    other = Y if did == X else X
    found = await explain_call(mine.context, caller=caller, did=other)
    assert found.reason == "otherNumber"
    assert A not in found.details


async def test_states_are_explained(mine: Bindings, theirs: Bindings, query: direct.Query) -> None:
    await mine.bind(A, B)
    assert (await theirs.explain(A))[2] == "unknownNumber"
    await mine.set_state(X, "disabled")
    assert (await mine.explain(A))[2] == "disabledNumber"
    await mine.set_state(X, "active")
    await operations.hold(mine.context.store, mine.context.clock)
    assert (await mine.explain(A))[2] == "held"


async def test_a_time_can_be_given(mine: Bindings, clock: FakeClock) -> None:
    bind_id, did = await mine.bind(A, B, 60)
    later = clock.now_ms // 1000 + 120
    assert await mine.explain(A, did, at=later) == ("", bind_id, "expired")


async def test_a_binding_without_end_is_live_at_the_largest_time(mine: Bindings) -> None:
    bind_id, did = await mine.bind(A, B)
    assert await mine.explain(A, did, at=AT_MAX) == (B, bind_id, "axb")


async def test_a_time_before_the_binding_names_nobody(mine: Bindings, clock: FakeClock) -> None:
    clock.now_ms = 1_670_479_632_000
    bind_id, did = await mine.bind(A, B)
    before = clock.now_ms // 1000 - 3600
    found = await explain_call(mine.context, caller=A, did=did, at=before)
    assert (found.callee, found.bind_id, found.reason) == ("", bind_id, "notYet")
    assert found.details == "the binding was made at 2022-12-08 06:07:12 UTC"
    clock.now_ms += 60_000
    await mine.unbind(bind_id)
    found = await explain_call(mine.context, caller=A, did=did, at=before + 3601)
    assert (found.callee, found.reason) == ("", "ended")
    assert found.details.endswith("at this time it may have lived")


async def test_nothing_is_counted(mine: Bindings, query: direct.Query) -> None:
    await mine.bind_digits("123", A)
    for _ in range(20):
        assert (await mine.explain(B, X, extension="999"))[2] == "wrongDigits"
    assert await query("SELECT 1 FROM digit_guard") == []
    assert not mine.context.services.call_traces
