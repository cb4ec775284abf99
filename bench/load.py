"""Load by wrk: what it sends comes from a file, what it tells is read from its last line."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.figures import BenchError

CONNECTIONS = 32
SCRIPT = Path(__file__).parent / "wrk" / "requests.lua"
TIMEOUT_S = 20


@dataclass(frozen=True)
class Load:
    """What wrk counted.

    Attributes:
        answers: Whole answers.
        bytes: Bytes read, with those of answers that the end cut off.
        duration_us: For how long it sent.
        failed: Connections, reads and writes that failed, and requests that were not answered.
        statuses: Answers with an HTTP status of 400 or more.
        p50_us: Half of the answers took no longer.
        p99_us: 99 % of the answers took no longer.
    """

    answers: int
    bytes: int
    duration_us: int
    failed: int
    statuses: int
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.duration_us * 1e6


def require_wrk() -> None:
    """Make sure that wrk is there.

    Raises:
        BenchError: It is not; the text says how to get it.
    """
    if shutil.which("wrk") is None:
        raise BenchError(
            "wrk is missing: apt-get install wrk, dnf install wrk or brew install wrk, "
            "or build it from github.com/wg/wrk"
        )


def run(
    port: int,
    requests: Path,
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    pause_ms: float = 0,
) -> Load:
    """Send requests for some time from one thread.

    Args:
        port: The server's.
        requests: The file of requests.
        seconds: For how long; wrk takes whole seconds, so it is rounded up.
        connections: How many connections send at once.
        pause_ms: The mean time that a connection waits before a request; 0 sends at once.

    Raises:
        BenchError: A request failed, or was answered with an error status.
    """
    whole_s = max(1, round(seconds + 0.499))
    done = subprocess.run(
        [
            "wrk", "-t1", f"-c{connections}", f"-d{whole_s}s", f"--timeout={TIMEOUT_S}s",
            "-s", str(SCRIPT), f"http://127.0.0.1:{port}/", "--", str(requests), str(pause_ms),
        ],
        capture_output=True,
        text=True,
        timeout=whole_s + 60,
        check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode or not lines or not lines[-1].startswith("{"):
        raise BenchError(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    load = Load(**json.loads(lines[-1]))
    if load.failed or load.statuses:
        raise BenchError(
            f"{load.failed} requests failed and {load.statuses} had an error status, "
            f"of {load.answers}"
        )
    if not load.answers:
        raise BenchError("no request was answered")
    return load


def check_bytes(load: Load, bytes_each: int, connections: int = CONNECTIONS) -> None:
    """Make sure that all answers had the bytes of a good one.

    Args:
        load: What wrk counted.
        bytes_each: The bytes of a good answer.
        connections: How many answers the end may have cut off.

    Raises:
        BenchError: They had not: some answers were other ones.
    """
    least = load.answers * bytes_each
    if not least <= load.bytes <= least + connections * bytes_each:
        raise BenchError(
            f"{load.answers} answers had {load.bytes} bytes, and not {bytes_each} each: "
            "some of them were errors"
        )
