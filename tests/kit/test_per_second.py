from openpns.kit.per_second import PerSecond


def test_so_many_a_second_are_allowed_for_each_key() -> None:
    bound = PerSecond(2)
    assert [bound.allows("a", 5000 + n) for n in range(4)] == [True, True, False, False]
    assert bound.allows("b", 5999)
    assert bound.allows("a", 6000)


def test_bound_of_zero_allows_nothing() -> None:
    bound = PerSecond(0)
    assert not bound.allows("a", 0)


def test_memory_holds_the_keys_of_one_second() -> None:
    bound = PerSecond(1)
    for n in range(1000):
        bound.allows(str(n), n * 1000)
    assert len(bound._counts) == 1
