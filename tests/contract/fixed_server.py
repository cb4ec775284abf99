"""A real worker process for the contract, with fixed time and ids.

Arguments: the contract, the port, and the folder with the files that name a fault and the time and
count the ids. The settings come from the environment.
"""

import os
import sys
from pathlib import Path

import uvloop
from tests.contract.given import CONTRACTS, FaultyStore, FixedClock, FixedIds

from openpns.api.counters import Counters
from openpns.routing import traces
from openpns.server.application import Application
from openpns.server.config import load_settings
from openpns.server.worker import serve
from openpns.transport.sockets import listen

if __name__ == "__main__":
    # All questions have the same callId: only the last one of a row may be stored, by its report.
    traces.TRACES_MAX, traces.STORE_S = 1, 1e6  # type: ignore[misc]
    contract, folder = CONTRACTS[sys.argv[1]], Path(sys.argv[3])
    clock = FixedClock(contract, folder)
    settings = load_settings({}, os.environ)
    application = Application(
        settings,
        os.environ["OPENPNS_MASTER_KEY"],
        clock=clock,
        ids=FixedIds(contract, folder),
        wrap_store=lambda store: FaultyStore(store, folder / "fault"),
    )
    with listen("port", "127.0.0.1", int(sys.argv[2])) as listening:
        uvloop.run(serve(application, settings, listening, Counters()))
