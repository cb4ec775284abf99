"""A real server process for the contract: Granian and the RSGI app, with fixed time and ids.

Arguments: the port, and the folder with the files that name a fault and count the group ids. The
settings come from the environment.
"""

import sys
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.server import Server
from tests.contract.given import FaultyStore, FixedIds, clock

from openpns.server.application import from_environ
from openpns.server.rsgi import RsgiApp


def load() -> Any:
    folder = Path(sys.argv[2])
    return RsgiApp(
        from_environ(
            clock=clock,
            ids=FixedIds(folder),
            wrap_store=lambda store: FaultyStore(store, folder / "fault"),
        )
    )


if __name__ == "__main__":
    server = Server("", port=int(sys.argv[1]), interface=Interfaces.RSGI, websockets=False)
    server.serve(target_loader=load, wrap_loader=False)
