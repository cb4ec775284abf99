"""Groups with common phones are never bound on one virtual number, and nothing else is refused.

Random binds and changes of groups are compared with sets of phones. The statements choose their way
by how many virtual numbers and groups there are: each way must give the same answers.
"""

import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.bindings.actions import Bindings
from tests.conftest import FakeClock
from tests.simulation.wrong_bindings import Changes, change_statements

from openpns.accounts import customers
from openpns.core.context import Context, Services
from openpns.core.principal import Principal
from openpns.errors import BindingConflict, PoolExhausted
from openpns.ids import Snowflake
from openpns.storage import connect

ADD, REPLACE = 0, 2
DIDS = [f"8529000000{n}" for n in range(4)]
PHONES = [f"8525000000{n}" for n in range(10)]
STEPS = 60

RIVALS = ("binding_group_conflict_find", "binding_group_taken_find")
WAYS: dict[str, Changes] = {
    "as it is": {},
    "two rivals are many": dict.fromkeys(RIVALS, ("1000", "2")),
}


@pytest.fixture
async def bindings(
    request: pytest.FixtureRequest,
    database_url: str,
    migrated: None,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Bindings]:
    change_statements(WAYS[request.param], monkeypatch)
    store = await connect.open_store(database_url, create=True)
    await customers.create(store, clock, "cus_1", "")
    services = Services(store, Snowflake(clock, worker_id=1), clock)
    made = Bindings(Context(services, Principal("a key", "cus_1")))
    await made.add(*DIDS)
    yield made
    await store.close()


class Named:
    """The phones that bindings name on each virtual number, in sets."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}
        self.bound: dict[str, set[str]] = {did: set() for did in DIDS}
        self.seats: dict[str, dict[str, str]] = {did: {} for did in DIDS}
        """For each phone the group of its binding, empty for none."""

    def is_free(self, did: str, a: str, group_id: str) -> bool:
        """Return whether a phone and a group can be bound on a virtual number."""
        if group_id in self.bound[did] or a in self.seats[did] or self.in_group(did, a):
            return False
        return all(self.may_join(did, phone, group_id) for phone in self.groups[group_id])

    def in_group(self, did: str, phone: str, but: str = "") -> bool:
        return any(phone in self.groups[one] for one in self.bound[did] if one != but)

    def may_join(self, did: str, phone: str, group_id: str) -> bool:
        """Return whether a group that is bound on a virtual number may hold a phone."""
        named_by = self.seats[did].get(phone, group_id)
        return named_by == group_id and not self.in_group(did, phone, group_id)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bindings", WAYS, indirect=True)
async def test_refused_is_what_would_name_a_phone_twice(bindings: Bindings, seed: int) -> None:
    chance, named = random.Random(seed), Named()
    for _ in range(5):
        phones = chance.sample(PHONES, 2)
        named.groups[await bindings.group(*phones)] = {*phones}
    for _ in range(STEPS):
        group_id = chance.choice([*named.groups])
        if chance.random() < 0.5:
            await _bind(bindings, named, chance, group_id)
        else:
            await _change(bindings, named, chance, group_id)
    assert sum(map(len, named.bound.values())) > 3


async def _bind(bindings: Bindings, named: Named, chance: random.Random, group_id: str) -> None:
    a = chance.choice(PHONES)
    given = chance.choice([None, *DIDS])
    free = [did for did in [given] if did] or DIDS
    free = [did for did in free if named.is_free(did, a, group_id)]
    did = ""
    with suppress(BindingConflict, PoolExhausted):
        _, did = await bindings.bind_group(group_id, a, phone_x=given)
    assert did in (free or [""])
    if did:
        named.bound[did].add(group_id)
        named.seats[did][a] = group_id


async def _change(bindings: Bindings, named: Named, chance: random.Random, group_id: str) -> None:
    operation = chance.choice([ADD, REPLACE])
    phones = chance.sample(PHONES, chance.randint(1, 2))
    on = [did for did in DIDS if group_id in named.bound[did]]
    added = {*phones} - named.groups[group_id]
    may = all(named.may_join(did, phone, group_id) for did in on for phone in added)
    is_changed = False
    with suppress(BindingConflict):
        await bindings.change_group(group_id, operation, *phones)
        is_changed = True
    assert is_changed == may
    if is_changed:
        before = named.groups[group_id] if operation == ADD else set()
        named.groups[group_id] = before | {*phones}
