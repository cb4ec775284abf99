from tests.groups.actions import Groups, joined


async def test_phone_chunks_stay_consistent_as_a_group_grows_and_shrinks(
    mine: Groups, sound_tables: None
) -> None:
    held = [*range(100)]
    group_id = await mine.create(held)
    for more in (27, 1, 1, 126, 1, 1, 300, 0, 5):
        added = [*range(len(held), len(held) + more)]
        await mine.add(group_id, *held[:2], *added)
        held += added
        assert await mine.phones(group_id) == joined(held)
    for removed in (held[:1], held[200:300], held[128:], held[127:]):
        await mine.delete(group_id, *removed)
        held = [number for number in held if number not in removed]
        assert await mine.phones(group_id) == joined(held)
    for count in (400, 128, 129, 1):
        await mine.replace(group_id, *range(count))
        assert await mine.phones(group_id) == joined(range(count))
    long = await mine.create(range(500))
    assert await mine.phones(long) == joined(range(500))
    await mine.drop(long)
