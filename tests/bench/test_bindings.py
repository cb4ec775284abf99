"""Customers of several sizes have virtual numbers of their own, and binds never repeat."""

import json

from bench.bindings import bound, mixed_requests


def test_customers_share_no_virtual_number() -> None:
    holdings = bound((1000, 10_000)).holdings
    assert [(each.bindings, each.dids, each.first_did) for each in holdings] == [
        (1000, 10, 0),
        (10_000, 100, 10),
    ]


def test_every_twentieth_request_is_a_bind_of_new_phones() -> None:
    (holding,) = bound((1000,)).holdings
    make = mixed_requests(holding)
    bodies = [json.loads(sent.partition(b"\r\n\r\n")[2]) for sent in make(40) + make(20)]
    binds = [body for body in bodies if "phoneA" in body]
    assert [place for place, body in enumerate(bodies) if "phoneA" in body] == [0, 20, 40]
    assert len({phone for body in binds for phone in (body["phoneA"], body["phoneB"])}) == 6
    assert all(body.keys() == {"caller", "did"} for body in bodies if body not in binds)
