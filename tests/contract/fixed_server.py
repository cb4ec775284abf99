"""A real worker process for the contract, with fixed time and ids.

Arguments: the port, and the folder with the files that name a fault and count the group ids. The
settings come from the environment.
"""

import os
import sys
from pathlib import Path

import uvloop
from tests.contract.given import FaultyStore, FixedIds, clock

from openpns.api.counters import Counters
from openpns.server.application import Application
from openpns.server.config import load_settings
from openpns.server.worker import serve
from openpns.transport.sockets import listen

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    settings = load_settings({}, os.environ)
    application = Application(
        settings,
        os.environ["OPENPNS_MASTER_KEY"],
        clock=clock,
        ids=FixedIds(folder),
        wrap_store=lambda store: FaultyStore(store, folder / "fault"),
    )
    with listen("port", "127.0.0.1", int(sys.argv[1])) as listening:
        uvloop.run(serve(application, settings, listening, Counters()))
