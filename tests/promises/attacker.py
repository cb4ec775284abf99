"""A client that attacks a server of a test, and a bystander who must be answered."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.attacker import Attacker
from bench.attacks import signed_request
from tests.processes import KEY_OF, Process
from tests.promises.wire import Bystander

Attack = Callable[[Process], Attacker]
"""Makes an attacker of a server, who lets go at the end of the test."""


@contextlib.contextmanager
def bystander(server: Process, source: str | None = None) -> Iterator[None]:
    with Bystander(server, source) as other:
        yield
        assert server.call("listGroup", {"limit": 1, "offset": 0}, "cus_2")["code"] == 0
    assert other.error is None, repr(other.error)
    assert set(other.codes) == {0}


def request(body: bytes, action: str = "listGroup", length: int | None = None) -> bytes:
    return signed_request(*KEY_OF["cus_1"], action, body, length)


def memory_of(pid: int, line: str = "VmRSS") -> int:
    """Return the resident bytes of a process, or with VmHWM their peak; 0 without /proc."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(line + r":\s+([0-9]+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0
