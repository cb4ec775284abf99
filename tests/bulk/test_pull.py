"""Pulling from another server, which runs behind a real socket."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

import pytest
from tests import direct
from tests.bindings.actions import A, B, Bindings, C, D, X, Y
from tests.bindings.conftest import check_tables, query

from openpns.bulk.pull import KnownKind, Pull, Pulled
from openpns.client.binding_answers import read_any_page
from openpns.client.binding_types import Binding
from openpns.client.bindings import AsyncBindings
from openpns.client.http import AsyncClient, Client
from openpns.core.context import Context
from openpns.errors import ConfigError
from openpns.groups.transfer import export_rows
from openpns.testing import Emulator

__all__ = ["query"]


@pytest.fixture(scope="module")
def _source() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def source(_source: Emulator) -> Emulator:
    """The other server, with two virtual numbers."""
    _source.reset()
    _source.add_numbers(X, Y)
    return _source


@pytest.fixture
async def here(context: Context, query: direct.Query) -> AsyncIterator[Bindings]:
    """The customer's bindings in the database, with the same virtual numbers."""
    bindings = Bindings(context)
    await bindings.add(X, Y)
    yield bindings
    await check_tables(query)


class KeyPair(NamedTuple):
    """An access key of the source with its secret."""

    access_key: str
    access_secret: str


class Runs:
    """Pulls, and shows what was left out."""

    def __init__(self, source: Emulator, here: Bindings) -> None:
        self.notes: list[str] = []
        self._source = source
        self._here = here

    async def __call__(
        self,
        *,
        assume_axb: bool = False,
        dry_run: bool = False,
        allow_empty: bool = False,
        known: Mapping[str, KnownKind] | None = None,
        key: KeyPair | None = None,
    ) -> Pulled:
        source = self._source
        key = key or KeyPair(source.access_key, source.access_secret)
        self.notes = []
        async with AsyncClient(source.base_url, key.access_key, key.access_secret) as client:
            return await Pull(
                self._here.context.services,
                client,
                self._here.context.customer_id,
                known=known or {},
                assume_axb=assume_axb,
                dry_run=dry_run,
                allow_empty=allow_empty,
                note=self.notes.append,
            ).run()


@pytest.fixture
def pull(source: Emulator, here: Bindings) -> Runs:
    """Runs a pull from the source."""
    return Runs(source, here)


@pytest.fixture
def there(source: Emulator) -> Iterator[Client]:
    """A client of the source."""
    with Client(source.base_url, source.access_key, source.access_secret) as client:
        yield client


async def groups_of(bindings: Bindings) -> list[tuple[str, ...]]:
    rows = export_rows(bindings.context.services, bindings.context.customer_id)
    return [row async for row in rows]


async def test_pull_brings_groups_and_bindings_as_they_are(
    pull: Runs, there: Client, here: Bindings, source: Emulator
) -> None:
    group_id = there.groups.create([C, D], name="g 1", remark="r")
    empty = there.groups.create([C])
    there.groups.remove_phones(empty, [C])
    axb = there.bindings.bind_axb(A, B, expire_s=3600, record=True, customer_bind_id="order 1")
    axg = there.bindings.bind_axg(A, group_id, expire_s=0, phone_b=D)
    digits = there.bindings.bind_extension(A, X, "042", expire_s=0)
    dry = await pull(dry_run=True)
    assert (dry.groups_new, dry.bindings_new, dry.left_out) == (2, 3, 0)
    assert (await groups_of(here), await here.ids()) == ([], [])
    done = await pull()
    assert (done.groups_new, done.bindings_new, done.left_out) == (2, 3, 0)
    assert await groups_of(here) == [
        (group_id, "g 1", f"{C},{D}", "r"),
        (empty, empty, "", ""),
    ]
    assert [(b.bind_id, b.did) for b in await here.live()] == [
        (axb.bind_id, axb.did),
        (axg.bind_id, axg.did),
        (digits.bind_id, X),
    ]
    first = await here.get(axb.bind_id)
    assert (first.customer_bind_id, first.flag) == ("order 1", 1)
    expires = there.bindings.get(axb.bind_id).expires
    assert expires is not None
    assert first.expire_at == expires.timestamp()
    for caller, did in ((A, axb.did), (B, axb.did), (C, axg.did), (A, axg.did)):
        assert await here.call(caller, did) == source.call(caller, did)


async def test_second_run_brings_only_what_changed(
    pull: Runs, there: Client, here: Bindings
) -> None:
    group_id, same = there.groups.create([C, D]), there.groups.create([B])
    ended = there.bindings.bind_axb(A, B, expire_s=3600)
    changed = there.bindings.bind_axb(A, B, expire_s=3600)
    await pull()
    own, _ = await here.bind("85255555555", "85266666666")
    there.groups.remove_phones(group_id, [C])
    there.groups.rename(group_id, name="new")
    there.bindings.unbind(ended.bind_id)
    there.bindings.update(changed.bind_id, expire_s=0, phone_b=D)
    new = there.bindings.bind_extension(A, X, "042", expire_s=0)
    for is_dry in (True, False):
        done = await pull(dry_run=is_dry)
        assert (done.groups_new, done.groups_changed, done.groups_same) == (0, 1, 1)
        assert (done.bindings_new, done.bindings_changed, done.bindings_same) == (1, 1, 0)
        assert (done.bindings_ended, done.left_out) == (1, 0)
    assert {row[0]: row[1:3] for row in await groups_of(here)} == {
        group_id: ("new", D),
        same: (same, B),
    }
    assert set(await here.ids()) == {own, changed.bind_id, new.bind_id}
    shown = await here.get(changed.bind_id)
    assert (shown.phone_b, shown.expire_at) == (D, 0)
    assert await here.call(A, ended.did) in ("", "digits")
    done = await pull()
    assert (done.groups_same, done.bindings_same) == (2, 2)
    assert (done.groups_changed, done.bindings_changed, done.bindings_ended) == (0, 0, 0)


async def test_missing_numbers_are_named_and_never_added(
    pull: Runs, there: Client, here: Bindings, source: Emulator
) -> None:
    source.add_numbers("85290000009", business_id="food")
    bound = there.bindings.bind_axb(A, B, expire_s=0, business_id="food")
    done = await pull()
    assert (done.bindings_new, done.left_out, done.missing_numbers) == (0, 1, ["85290000009"])
    assert pull.notes == [f"binding {bound.bind_id}: left out: its virtual number is not here"]
    await here.add("85290000009")
    assert (await pull()).bindings_new == 1


async def test_kind_that_the_server_does_not_show(
    pull: Runs, there: Client, here: Bindings, source: Emulator
) -> None:
    """A server that knows no extension: it refuses getBinding, and ignores `after`."""
    group_id = there.groups.create([C, D])
    axb = there.bindings.bind_axb(A, B, expire_s=0)
    axg = there.bindings.bind_axg("85255555555", group_id, expire_s=0, phone_b=D)
    digits = there.bindings.bind_extension(A, X, "042", expire_s=0)
    source.faults.error(1002, action="getBinding", times=None)
    done = await pull()
    assert (done.bindings_new, done.left_out) == (1, 2)
    assert await here.ids() == [digits.bind_id]
    assert all("use --assume-axb or --map" in note for note in pull.notes)
    done = await pull(known={axg.bind_id: KnownKind("axg", group_id)}, assume_axb=True)
    assert (done.bindings_new, done.bindings_same, done.left_out) == (2, 1, 0)
    kinds = [(await here.get(bound.bind_id)).kind for bound in (axb, axg, digits)]
    assert kinds == ["axb", "axg", "extension"]


async def test_what_cannot_be_stored_is_left_out(pull: Runs, there: Client, here: Bindings) -> None:
    bound = there.bindings.bind_extension(A, X, "042", expire_s=0)
    await here.bind_digits("042", B)
    done = await pull()
    assert (done.bindings_new, done.left_out) == (0, 1)
    (note,) = pull.notes
    assert note == (
        f"binding {bound.bind_id}: left out: Binding conflict: extension has a live binding on "
        "phoneX"
    )


async def test_what_ended_there_gives_way_first(pull: Runs, there: Client, here: Bindings) -> None:
    """A new binding has the seat of one that has ended, and another the customerBindId."""
    digits = there.bindings.bind_extension(A, X, "042", expire_s=0)
    axb = there.bindings.bind_axb(A, B, expire_s=0, customer_bind_id="order 1")
    await pull()
    there.bindings.unbind(digits.bind_id)
    there.bindings.unbind(axb.bind_id)
    new = [
        there.bindings.bind_extension(B, X, "042", expire_s=0).bind_id,
        there.bindings.bind_axb(C, D, expire_s=0, customer_bind_id="order 1").bind_id,
    ]
    done = await pull()
    assert (done.bindings_new, done.bindings_ended, done.left_out) == (2, 2, 0)
    assert await here.ids() == new


async def test_customers_of_one_server_do_not_end_each_others(
    pull: Runs, there: Client, here: Bindings, source: Emulator
) -> None:
    other = source.add_customer("other")
    source.add_numbers("85290000009", customer_id="other")
    await here.add("85290000009")
    key = KeyPair(other.access_key, other.access_secret)
    there.bindings.bind_axb(A, B, expire_s=0)
    with Client(source.base_url, *key) as client:
        client.bindings.bind_axb(A, B, expire_s=0)
    for new in (1, 0):
        for done in (await pull(), await pull(key=key)):
            assert (done.bindings_new, done.bindings_ended) == (new, 0)
    assert len(await here.ids()) == 2


async def test_server_that_lists_nothing_ends_nothing_unless_allowed(
    pull: Runs, there: Client, here: Bindings
) -> None:
    assert (await pull()).bindings_ended == 0
    bound = there.bindings.bind_axb(A, B, expire_s=0)
    await pull()
    there.bindings.unbind(bound.bind_id)
    with pytest.raises(ConfigError, match=r"lists no binding, but 1 .*--allow-empty"):
        await pull()
    assert await here.ids() == [bound.bind_id]
    assert (await pull(allow_empty=True)).bindings_ended == 1
    assert await here.ids() == []


@pytest.mark.parametrize("is_dry", [True, False])
async def test_malformed_rows_are_left_out(
    pull: Runs,
    here: Bindings,
    source: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_dry: bool,
) -> None:
    row = {"bindId": "a" * 32, "did": X, "phoneA": f"+{A}", "phoneB": B}
    bad = {
        "phoneA must be 5 to 15 digits": {"phoneA": "852\x1b[31m"},
        "phoneA and phoneB must differ": {"phoneB": A},
        "extension must be three digits": {"extension": "42"},
        "did must be a virtual number": {"did": "1\n openpns"},
        "bindId must be 1 to 64": {"bindId": "x" * 65},
    }
    listed = {"bindList": [*[row | fields for fields in bad.values()], row], "total": 6}

    async def iterate(_: AsyncBindings) -> AsyncIterator[Binding]:
        for binding in read_any_page({"data": listed}).bindings:
            yield binding

    monkeypatch.setattr(AsyncBindings, "iterate", iterate)
    source.faults.error(1002, action="getBinding", times=None)
    done = await pull(dry_run=is_dry, assume_axb=True)
    assert (done.bindings_new, done.left_out, done.missing_numbers) == (1, 5, [])
    for why, note in zip(bad, pull.notes, strict=True):
        assert why in note
    assert await here.call(B) == ("" if is_dry else A)
