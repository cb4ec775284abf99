from openpns.server.memory import PeakTrim

MIB = 2**20


def test_memory_is_trimmed_once_after_a_peak() -> None:
    trims: list[int] = []
    memory = PeakTrim(lambda: trims.append(len(trims)))
    for held in (0, 7 * MIB, 0, 8 * MIB, 3 * MIB):
        memory.note(held)
    assert not trims
    for held in (2 * MIB, 0, 0):
        memory.note(held)
    assert len(trims) == 1


def test_system_trim_can_be_called() -> None:
    memory = PeakTrim()
    memory.note(100 * MIB)
    memory.note(0)


def test_memory_is_trimmed_after_much_was_freed() -> None:
    trims: list[int] = []
    memory = PeakTrim(lambda: trims.append(len(trims)))
    memory.note(0, 5 * MIB)
    assert not trims
    for freed in (3 * MIB, 0, 0):
        memory.note(0, freed)
    assert len(trims) == 1
