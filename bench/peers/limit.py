"""Peer 1, the limit: a constant answer of the same bytes from the same HTTP server.

It reads neither the headers nor the body of a request. Nothing written in Python on this HTTP
server can be faster, so openpns is measured as a part of it.

    python bench/peers/limit.py FILE    FILE holds the body to answer; prints its port
"""

import os
import sys
from pathlib import Path
from typing import Any

from granian.constants import Interfaces, RuntimeModes
from granian.log import LogLevels
from granian.server import Server

from openpns.server.run import free_port

HEADERS = [("content-type", "application/json"), ("x-request-id", "2124756944332783616")]
BODY_VARIABLE = "BENCH_LIMIT_BODY"


class Limit:
    """Answers every request with the same bytes."""

    def __init__(self) -> None:
        self._body = Path(os.environ[BODY_VARIABLE]).read_bytes()

    async def __rsgi__(self, _: Any, proto: Any) -> None:
        """Answer one request."""
        proto.response_bytes(200, HEADERS, self._body)


def _load() -> Limit:
    return Limit()


def main() -> None:
    """Serve with the options that `openpns serve` gives to Granian."""
    os.environ[BODY_VARIABLE] = sys.argv[1]
    host, port = free_port("port", "127.0.0.1", 0)
    server = Server(
        "limit",
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        workers=1,
        backpressure=4096,
        websockets=False,
        runtime_mode=RuntimeModes.mt,
        log_level=LogLevels.warning,
    )
    print(f"serving http://{host}:{port}/", flush=True)
    server.serve(target_loader=_load, wrap_loader=False)


if __name__ == "__main__":
    main()
