"""The methods for bindings and virtual numbers, of both clients, on a real server."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.shells import Use, run_live_async, run_live_sync

import openpns
from openpns.client import bindings
from openpns.testing import Emulator

A, B, C = "85211111111", "85222222222", "85233333333"
X, Y = "85290000001", "85290000002"

Run = Callable[[Use], Any]


@pytest.fixture(scope="module")
def started() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def server(started: Emulator) -> Emulator:
    """A server with two virtual numbers."""
    started.reset()
    started.add_numbers(X, Y)
    return started


@pytest.fixture(params=[run_live_sync, run_live_async])
def run(request: pytest.FixtureRequest, server: Emulator) -> Run:
    """Run a use of either client on the server; return its result."""
    return lambda use: request.param(server, use)


def test_binding_lives_from_bind_to_unbind(run: Run, server: Emulator) -> None:
    bound = run(
        lambda pns: pns.bindings.bind_axb(A, B, expire_s=60, record=True, customer_bind_id="o")
    )
    assert run(lambda pns: pns.bindings.query(A, bound.did)).callee == B
    shown = run(lambda pns: pns.bindings.get(customer_bind_id="o"))
    assert (shown.bind_id, shown.is_recorded, shown.kind) == (bound.bind_id, True, "axb")
    assert (shown.expires - shown.created).total_seconds() in (60, 61)
    run(lambda pns: pns.bindings.update(bound.bind_id, expire_s=0, record=False))
    shown = run(lambda pns: pns.bindings.get(bound.bind_id))
    assert (shown.expires, shown.is_recorded) == (None, False)
    run(lambda pns: pns.bindings.unbind(bound.bind_id))
    with pytest.raises(openpns.BindingNotFound):
        run(lambda pns: pns.bindings.query(A, bound.did))
    found = run(lambda pns: pns.bindings.explain(A, bound.did))
    assert (found.callee, found.bind_id, found.reason) == (None, bound.bind_id, "unbound")


def test_digits_and_groups(run: Run, server: Emulator) -> None:
    run(lambda pns: pns.bindings.bind_extension(A, X, "042", expire_s=0))
    group_id = server.add_group([B, C])
    bound = run(lambda pns: pns.bindings.bind_axg(A, group_id, expire_s=0, did=Y, phone_b=C))
    asked = run(lambda pns: pns.bindings.query(B, X))
    assert (asked.callee, asked.kind) == (None, "extension")
    assert run(lambda pns: pns.bindings.query(B, X, "042")).callee == A
    assert [server.call(phone, Y) for phone in (A, B, C)] == [C, A, A]
    with pytest.raises(openpns.GroupBound):
        run(lambda pns: pns.groups.delete(group_id))
    assert run(lambda pns: pns.groups.get(group_id)).bindings == 1
    assert [b.bind_id for b in run(lambda pns: pns.bindings.iterate(group_id=group_id))] == [
        bound.bind_id
    ]


def test_audios_are_read_also_from_a_failure(run: Run, server: Emulator) -> None:
    url = "https://audio.example/{}.wav"
    server.set_audios(audio_when_call_fails=url.format(1), audio_for_wrong_digits=url.format(2))
    server.set_audios(X, audio_that_asks_for_digits=url.format(3))
    run(lambda pns: pns.bindings.bind_extension(A, X, "042", expire_s=0))
    asked = run(lambda pns: pns.bindings.query(B, X))
    audios = (asked.audio_for_wrong_digits, asked.audio_that_asks_for_digits)
    assert (asked.audio_when_call_fails, *audios) == (url.format(1), url.format(2), url.format(3))
    for did, digits, expected in (
        (Y, None, (url.format(1), url.format(2), None)),
        (X, "043", (url.format(1), None, None)),
    ):
        with pytest.raises(openpns.BindingNotFound) as raised:
            run(lambda pns: pns.bindings.query(B, did, digits))  # noqa: B023 - called in this turn
        error = pickle.loads(pickle.dumps(raised.value))
        assert error.call_id.isdigit()
        audios = (error.audio_for_wrong_digits, error.audio_that_asks_for_digits)
        assert (error.audio_when_call_fails, *audios) == expected
    server.set_audios(Y, audio_when_call_fails="")
    with pytest.raises(openpns.BindingNotFound) as raised:
        run(lambda pns: pns.bindings.query(B, Y))
    assert (raised.value.call_id, raised.value.audio_when_call_fails) == (None, None)


def test_errors_have_their_class(run: Run, server: Emulator) -> None:
    run(lambda pns: pns.bindings.bind_extension(A, X, "042", expire_s=0))
    for error, use in (
        (openpns.BindingConflict, lambda pns: pns.bindings.bind_extension(B, X, "042", expire_s=0)),
        (openpns.EmptyPhone, lambda pns: pns.bindings.bind_axb("", B, expire_s=0)),
        (openpns.SamePhone, lambda pns: pns.bindings.bind_axb(A, A, expire_s=0)),
        (
            openpns.NoVirtualNumber,
            lambda pns: pns.bindings.bind_axb("331234567", "331234568", expire_s=0),
        ),
        (openpns.CountryMismatch, lambda pns: pns.bindings.bind_axb(A, "331234568", expire_s=0)),
        (openpns.DidWithoutCountry, lambda pns: pns.bindings.query(A, "21099999999")),
    ):
        with pytest.raises(error):
            run(use)
    for _ in range(2):
        run(lambda pns: pns.bindings.bind_axb(A, B, expire_s=0))
    with pytest.raises(openpns.PoolExhausted):
        run(lambda pns: pns.bindings.bind_axb(A, B, expire_s=0))


def test_dry_run_binds_nothing(run: Run, server: Emulator) -> None:
    bound = run(lambda pns: pns.bindings.bind_axb(A, B, expire_s=0, dry_run=True))
    assert (bound.bind_id, bound.did) == ("", X)
    assert [request.action for request in server.requests] == ["listNumbers", "bindAXB"]
    assert run(lambda pns: pns.bindings.list()).total == 0


def test_pages_return_every_item_once(run: Run, server: Emulator) -> None:
    for n in range(5):
        run(lambda pns, n=n: pns.bindings.bind_extension(A, X, f"00{n}", expire_s=0))
    found = run(lambda pns: pns.bindings.iterate(2))
    assert [binding.extension for binding in found] == ["000", "001", "002", "003", "004"]
    assert len(run(lambda pns: pns.bindings.iterate(2, phone=A, did=X))) == 5
    page = run(lambda pns: pns.bindings.list(limit=2, offset=4))
    assert (len(page.bindings), page.total) == (1, 5)
    assert [number.did for number in run(lambda pns: pns.numbers.iterate(1))] == [X, Y]
    assert run(lambda pns: pns.numbers.iterate(state="disabled")) == []
    assert run(lambda pns: pns.numbers.list(did=X)).numbers[0].bindings == 5


def test_both_clients_have_the_same_methods() -> None:
    for sync, asynchronous in (
        (bindings.Bindings, bindings.AsyncBindings),
        (bindings.Numbers, bindings.AsyncNumbers),
    ):
        names = {name for name in dir(sync) if not name.startswith("_")}
        assert names == {name for name in dir(asynchronous) if not name.startswith("_")}
