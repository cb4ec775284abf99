"""`openpns bindings confirm|end|hold`."""

import asyncio

from tests import direct
from tests.cli.conftest import Run

HELD = "UPDATE customer_state SET binding_count = 1"


def test_hold_and_confirm(openpns: Run, database_url: str) -> None:
    asyncio.run(direct.run(database_url, HELD))
    assert openpns("bindings", "hold").out == "calls of 1 customers are held\n"
    done = openpns("bindings", "confirm", "--customer", "cus_1")
    assert done.err == "cus_1: calls are connected again\n"
    done = openpns("bindings", "confirm", "--customer", "cus_1")
    assert done.err == "cus_1: calls were not held\n"
    assert "not found" in openpns("bindings", "confirm", "--customer", "x", code=3).err


def test_end_prints_the_count(openpns: Run) -> None:
    done = openpns("bindings", "end", "--customer", "cus_1", "--created-before", "2030-01-01")
    assert done.out == "cus_1: 0 bindings ended\n"
    done = openpns("bindings", "end", "--customer", "cus_1", "--created-before", "x", code=2)
    assert "allowed is a date" in done.err
