"""The limit of another server: always the same body from Granian, with the request's body read.

python bench/peers/granian_constant.py PORT FILE    FILE holds the answer, head and body
"""

import os
import sys
from pathlib import Path
from typing import Any

from granian.constants import Interfaces, RuntimeModes
from granian.log import LogLevels
from granian.server import Server

HEADERS = [("content-type", "application/json"), ("x-request-id", "2124756944332783616")]
_FILE = "BENCH_ANSWER"


class Constant:
    """Answers every request with the same bytes."""

    def __init__(self) -> None:
        self._body = Path(os.environ[_FILE]).read_bytes().partition(b"\r\n\r\n")[2]

    async def __rsgi__(self, _: Any, proto: Any) -> None:
        """Answer one request."""
        await proto()
        proto.response_bytes(200, HEADERS, self._body)


def _load() -> Constant:
    return Constant()


def main() -> None:
    """Serve with one worker."""
    os.environ[_FILE] = sys.argv[2]
    server = Server(
        "constant",
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.RSGI,
        workers=1,
        backpressure=4096,
        websockets=False,
        runtime_mode=RuntimeModes.mt,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=_load, wrap_loader=False)


if __name__ == "__main__":
    main()
