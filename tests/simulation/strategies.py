"""What the stateful test draws: phones, groups, bodies, and what is wrong with requests."""

from typing import Any, NamedTuple

from hypothesis import strategies as st
from tests.simulation.reference import FLAWS
from tests.simulation.stores import FAULTS


class Phones(NamedTuple):
    """Consecutive phones, as a client may spell them."""

    first: int
    count: int
    spelling: str = "{}"

    @property
    def text(self) -> str:
        numbers = range(self.first, self.first + self.count)
        return ",".join(self.spelling.format(f"8521{number:07}") for number in numbers)


class How(NamedTuple):
    """How a request is sent: what is wrong with it, if anything."""

    flaws: frozenset[str] = frozenset()
    late_ms: int | None = None
    """How far its ts is behind the worker's own clock; None for the true time."""
    secret: int = -1
    """Which of the key's secrets signs; -2 is the second newest."""
    algorithm: str = "the key's"


RIGHT = How()


def _rarely(often: Any, other: st.SearchStrategy[Any], one_in: int) -> st.SearchStrategy[Any]:
    """Draw one value most of the time, and another one once in `one_in` times."""
    return st.integers(1, one_in).flatmap(lambda n: other if n == one_in else st.just(often))


_WRONG = st.one_of(
    st.frozensets(st.sampled_from(FLAWS), min_size=1, max_size=2).map(How),
    st.sampled_from(
        [
            *(How(late_ms=late_ms) for late_ms in (60_000, 60_001, -60_000, -60_001)),
            *(How(secret=-2) for _ in range(3)),
            *(How(algorithm=algorithm) for algorithm in ("md5", "sha256", "not sent")),
        ]
    ),
)
HOW = _rarely(RIGHT, _WRONG, 5)


def _faults(*methods: str) -> st.SearchStrategy[Any]:
    return _rarely(None, st.sampled_from([f for f in FAULTS if f.method in methods]), 4)


READ_FAULT = _faults("get_cached", "fetch", "stream")
WRITE_FAULT = _faults("get_cached", "fetch", "write")
PAGE_FAULT = _faults("fetch", "stream")

# How many writes were sent after the one that is sent again.
BACK = st.one_of(st.integers(0, 2), st.integers(0, 40))

# A few phones overlap with others, so that some are added twice and some deleted. Many phones pass
# the sizes at which a group is stored or sent in another way, and the bounds.
PHONES = st.builds(
    Phones,
    st.integers(0, 6),
    st.sampled_from([1, 1, 2, 3, 5, 127, 128, 129, 263, 280, 290, 298, 300, 301, 310, 311]),
    st.sampled_from(["{}", "{}", "{}", "+{} ", "{0},{0}"]),
)
BAD_PHONES = st.sampled_from(
    ["", ",", "85211111114,", "85211111114,,85211111115", "+", "++85211111114", "8521", "085211111",
     "8521111111111111", "9991234567", "852-1111114", "85211111114;85211111115",
     "８５２１１１１"]
)  # fmt: skip

GROUP = st.tuples(
    st.sampled_from(["own", "own", "own", "own", "own", "another's", "unknown"]), st.integers(0, 5)
)
UNKNOWN_IDS = ("f" * 32, "0" * 31, "0" * 33, "F" * 32, "", "g" * 32)

NAME = st.sampled_from([None, "", "a", "牛 🚚 \"quoted\" \\ 'é'", "n" * 128])
TOKEN = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "a", "b", "t" * 64, "t" * 65]),
    st.integers(0, 999).map("token-{}".format),
)
LIMIT = st.sampled_from([0, 0, 1, 2, 3, 10, 10, 1000, 1001, -1])
OFFSET = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 100, 2**63 - 1, 2**63, -1])

_ODD_VALUES = st.sampled_from(
    [None, "", "10", "0", 10.0, True, -1, 3, 1001, 2**63, [], {}, ["85211111114"], "n" * 129,
     "r" * 513, "a\nb", "\x7f"]
)  # fmt: skip
FIELDS = {
    "listGroup": ("limit", "offset"),
    "createGroup": ("phones", "groupName", "remark", "clientToken"),
    "updateGroup": ("groupId", "operateType", "phones", "clientToken"),
    "deleteGroup": ("groupId", "clientToken"),
}
"""The fields of each action, without extensions that the model does not know."""

_FIELDS = st.sampled_from(sorted({name for names in FIELDS.values() for name in names}))
CHANGED_FIELDS = st.dictionaries(_FIELDS, _ODD_VALUES, min_size=1, max_size=2)
NOT_OBJECTS = st.sampled_from([b"", b"{", b"null", b"[]", b'"text"', b'{"limit": NaN}', b"{\xff}"])
