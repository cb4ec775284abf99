"""Try all mistakes, alone and then in pairs, within a bounded number of digests."""

from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product
from typing import Final, TypeAlias

import msgspec

from openpns.diagnosis.signature.attempt import SECRET, Attempt, Mistake, Stage
from openpns.diagnosis.signature.hmac_table import HMAC_MISTAKES
from openpns.diagnosis.signature.table import MISTAKES

# Bounds of a search. The bytes are those of all texts together: long bodies end it sooner. For two
# mistakes at once, only likely variants of each are tried.
DIGESTS_MAX: Final = 500_000
TEXT_BYTES_MAX: Final = 256 * 1024 * 1024
VARIANTS_IN_PAIR_MAX: Final = 64

_MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 4


class Found(msgspec.Struct, frozen=True):
    """A mistake that was made."""

    mistake: Mistake
    detail: str
    """Which variant of it; may be empty."""


class Cause(msgspec.Struct, frozen=True):
    """What explains the given signature: one mistake, or two at once."""

    found: tuple[Found, ...]
    text: str
    """The text that was signed, with `***` for the secret."""


class Explanation(msgspec.Struct, frozen=True):
    """What is known about a signature."""

    matches: bool
    causes: tuple[Cause, ...]
    """Each explains the signature completely; most likely first."""
    evident: tuple[Found, ...] | None
    """What the length and case of the signature show, even without a cause; None if no known digest
    looks like it."""
    digests: int
    """How many were computed."""
    complete: bool
    """Whether everything was tried; false for very long bodies."""


class _BudgetExhausted(Exception):
    """The bound on bytes or digests is reached."""


_Base: TypeAlias = tuple[tuple[Found, ...], Attempt]
"""Mistakes made so far, and the attempt that results."""


class _Search:
    def __init__(self, signature: str, mistakes: Sequence[Mistake]) -> None:
        self._signature = signature
        self._mistakes = mistakes
        self._bytes_left = TEXT_BYTES_MAX
        self.digests = 0

    def matches(self, attempt: Attempt) -> bool:
        """Return whether an attempt has the given signature."""
        self._bytes_left -= attempt.value_bytes()
        if self._bytes_left < 0 or self.digests == DIGESTS_MAX:
            raise _BudgetExhausted
        if not attempt.looks_like(self._signature):
            return False
        self.digests += 1
        return attempt.signature() == self._signature

    def find_alone(self, base: _Base, mistake: Mistake) -> _Base | None:
        found, start = base
        for detail, attempt in mistake.variants(start):
            if attempt != start and self.matches(attempt):
                return (*found, Found(mistake, detail)), attempt
        return None

    def find_pair(self, base: _Base, first: Mistake, second: Mistake) -> _Base | None:
        found, start = base
        for detail, half in _likely(first, start):
            if half == start:
                continue
            for other_detail, attempt in _likely(second, half):
                if attempt not in (half, start) and self.matches(attempt):
                    pair = (Found(first, detail), Found(second, other_detail))
                    return (*found, *pair), attempt
        return None

    def find_all(self, bases: list[_Base]) -> Iterator[_Base]:
        """Yield every mistake that explains the signature; if there is none, the first pair."""
        made = [base for base in bases if base[0] and self.matches(base[1])]
        yield from made[:1]  # two forms can be the same text
        if made:
            return
        is_found = False
        for base, mistake in product(bases, self._mistakes):
            alone = self.find_alone(base, mistake)
            if alone is not None:
                is_found = True
                yield alone
        if is_found:
            return
        for base, (one, other) in product(bases[:1], _pairs(self._mistakes)):
            first, second = sorted((one, other), key=lambda mistake: mistake.stage)
            pair = self.find_pair(base, first, second)
            if pair is not None:
                yield pair
                return


def _likely(mistake: Mistake, attempt: Attempt) -> Iterator[tuple[str, Attempt]]:
    return islice(mistake.variants(attempt), VARIANTS_IN_PAIR_MAX)


def _pairs(mistakes: Sequence[Mistake]) -> list[tuple[Mistake, Mistake]]:
    """Return the pairs of mistakes, those of likely ones first."""
    pairs = combinations(enumerate(mistakes), 2)
    by_likelihood = sorted(pairs, key=lambda pair: pair[0][0] + pair[1][0])
    return [(one, other) for (_, one), (_, other) in by_likelihood]


def _bases(right: Attempt, signature: str, mistakes: Sequence[Mistake]) -> list[_Base]:
    """Return the attempts to start from, given the length and case of the signature."""
    if right.looks_like(signature):
        return [((), right)]
    return [
        ((Found(mistake, detail),), attempt)
        for mistake in mistakes
        if mistake.stage == Stage.DIGEST
        for detail, attempt in mistake.variants(right)
        if attempt.looks_like(signature)
    ]


def explain(right: Attempt, signature: str) -> Explanation:
    """Return whether a signature belongs to a request, and if not, the most likely mistakes."""
    mistakes = MISTAKES if right.hmac_key is None else HMAC_MISTAKES
    access_secret = (right.find(SECRET) or right.hmac_key or b"").decode()
    signature = signature.strip()
    if right.looks_like(signature) and right.signature() == signature:
        return Explanation(matches=True, causes=(), evident=(), digests=1, complete=True)
    search = _Search(signature, mistakes)
    bases = _bases(right, signature, mistakes)
    causes: list[Cause] = []
    complete = True
    try:
        for found, attempt in search.find_all(bases):
            text = attempt.masked().decode("utf-8", "backslashreplace")
            shown = tuple(Found(one.mistake, mask(one.detail, access_secret)) for one in found)
            causes.append(Cause(shown, mask(text, access_secret)))
    except _BudgetExhausted:
        complete = False
    evident = bases[0][0] if bases else None
    return Explanation(False, tuple(causes), evident, search.digests, complete)


def mask(text: str, access_secret: str) -> str:
    """Replace the secret in a text with `***`; a secret of fewer than 4 characters stays."""
    secret = access_secret.strip()
    return text.replace(secret, _MASK) if len(secret) >= _SECRET_CHARS_MIN else text
