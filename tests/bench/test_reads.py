"""The requests of the work in which nothing repeats."""

import itertools

from bench.fill import Holding
from bench.reads import never_again


def test_never_again_returns_every_page_once_before_repeating() -> None:
    holdings = tuple(Holding(f"cus-{place}", 12) for place in range(4))
    make = never_again(holdings)
    pages = 4 * (12 - 9)
    heads, bodies = zip(
        *(request.split(b"\r\n\r\n") for request in make(pages - 2) + make(2)), strict=True
    )
    customers = [head.split(b"accessKey: ")[1].split(b"\r\n")[0] for head in heads]
    assert len(set(zip(customers, bodies, strict=True))) == pages
    assert all(one != other for one, other in itertools.pairwise(customers))
