"""Try the mistakes: each alone, then two at a time, within a bounded number of digests."""

from collections.abc import Iterator
from itertools import combinations, islice, product
from typing import Final, TypeAlias

import msgspec

from openpns import limits
from openpns.diagnosis.signature.attempt import Attempt, Mistake, Stage, right_attempt
from openpns.diagnosis.signature.table import MISTAKES

_MASK: Final = "***"
_SECRET_CHARS_MIN: Final = 4


class Found(msgspec.Struct, frozen=True):
    """A mistake that was made."""

    mistake: Mistake
    detail: str
    """What is special in it; may be empty."""


class Cause(msgspec.Struct, frozen=True):
    """What leads to the given signature: one mistake, or two at once."""

    found: tuple[Found, ...]
    text: str
    """The text that was signed, with `***` for the secret."""


class Explanation(msgspec.Struct, frozen=True):
    """What is known of a signature."""

    matches: bool
    causes: tuple[Cause, ...]
    """Each explains the signature fully; the most likely one first."""
    evident: tuple[Found, ...] | None
    """What the signature's length and case give away even where nothing explains it; None where
    no digest that is known looks like it."""
    digests: int
    """How many were made."""
    complete: bool
    """Whether all was tried; not so for very long bodies."""


class _SpentError(Exception):
    """A bound on how much is tried is reached."""


_Base: TypeAlias = tuple[tuple[Found, ...], Attempt]
"""What is made already, and what came of it."""


class _Search:
    def __init__(self, signature: str) -> None:
        self._signature = signature
        self._bytes_left = limits.EXPLAIN_TEXT_BYTES_MAX
        self.digests = 0

    def makes(self, attempt: Attempt) -> bool:
        """Tell whether an attempt's signature is the given one."""
        self._bytes_left -= attempt.value_bytes()
        if self._bytes_left < 0 or self.digests == limits.EXPLAIN_DIGESTS_MAX:
            raise _SpentError
        if not attempt.fits(self._signature):
            return False
        self.digests += 1
        return attempt.signature() == self._signature

    def find_alone(self, base: _Base, mistake: Mistake) -> _Base | None:
        found, start = base
        for detail, attempt in mistake.variants(start):
            if attempt != start and self.makes(attempt):
                return (*found, Found(mistake, detail)), attempt
        return None

    def find_pair(self, base: _Base, first: Mistake, second: Mistake) -> _Base | None:
        found, start = base
        for detail, half in _likely(first, start):
            if half == start:
                continue
            for other_detail, attempt in _likely(second, half):
                if attempt not in (half, start) and self.makes(attempt):
                    pair = (Found(first, detail), Found(second, other_detail))
                    return (*found, *pair), attempt
        return None

    def find_all(self, bases: list[_Base]) -> Iterator[_Base]:
        """Yield every mistake that explains the signature; where none does, the first pair."""
        made = [base for base in bases if base[0] and self.makes(base[1])]
        yield from made[:1]  # two forms can be the same text
        if made:
            return
        is_found = False
        for base, mistake in product(bases, MISTAKES):
            alone = self.find_alone(base, mistake)
            if alone is not None:
                is_found = True
                yield alone
        if is_found:
            return
        for base, (one, other) in product(bases[:1], _PAIRS):
            first, second = sorted((one, other), key=lambda mistake: mistake.stage)
            pair = self.find_pair(base, first, second)
            if pair is not None:
                yield pair
                return


def _likely(mistake: Mistake, attempt: Attempt) -> Iterator[tuple[str, Attempt]]:
    return islice(mistake.variants(attempt), limits.EXPLAIN_VARIANTS_IN_PAIR_MAX)


def _by_rank() -> list[tuple[Mistake, Mistake]]:
    ranked = combinations(enumerate(MISTAKES), 2)
    likely_first = sorted(ranked, key=lambda pair: pair[0][0] + pair[1][0])
    return [(one, other) for (_, one), (_, other) in likely_first]


_PAIRS: Final = _by_rank()


def _bases(right: Attempt, signature: str) -> list[_Base]:
    """Return where to begin: what the signature's length and case already give away."""
    if right.fits(signature):
        return [((), right)]
    return [
        ((Found(mistake, detail),), attempt)
        for mistake in MISTAKES
        if mistake.stage == Stage.DIGEST
        for detail, attempt in mistake.variants(right)
        if attempt.fits(signature)
    ]


def explain(
    access_key: str,
    action: str,
    biz_type: str,
    ts: str,
    body: bytes,
    access_secret: str,
    algorithm: str,
    signature: str,
) -> Explanation:
    """Tell whether a signature is a call's, and if not, what was most likely done wrong.

    Args:
        access_key: The header accessKey.
        action: The header action.
        biz_type: The header bizType.
        ts: The header ts, as sent.
        body: The body exactly as sent.
        access_secret: The secret that belongs to the access key.
        algorithm: "md5" or "sha256".
        signature: The header sign.
    """
    right = right_attempt(access_key, action, biz_type, ts, body, access_secret, algorithm)
    signature = signature.strip()
    if right.fits(signature) and right.signature() == signature:
        return Explanation(matches=True, causes=(), evident=(), digests=1, complete=True)
    search = _Search(signature)
    bases = _bases(right, signature)
    causes: list[Cause] = []
    complete = True
    try:
        for found, attempt in search.find_all(bases):
            text = attempt.masked().decode("utf-8", "backslashreplace")
            shown = tuple(Found(one.mistake, mask(one.detail, access_secret)) for one in found)
            causes.append(Cause(shown, mask(text, access_secret)))
    except _SpentError:
        complete = False
    return Explanation(
        matches=False,
        causes=tuple(causes),
        evident=bases[0][0] if bases else None,
        digests=search.digests,
        complete=complete,
    )


def mask(text: str, access_secret: str) -> str:
    """Return a text with `***` wherever the secret stands in it.

    Args:
        text: A text to sign, in which the secret's own part is masked already.
        access_secret: The secret; one of fewer than 4 characters is too short to look for.
    """
    secret = access_secret.strip()
    return text.replace(secret, _MASK) if len(secret) >= _SECRET_CHARS_MIN else text
