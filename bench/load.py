"""Load by wrk, or by one connection that sends one request at a time."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from bench.figures import BenchError
from bench.requests import Check, Connection

CONNECTIONS = 32
SCRIPT = Path(__file__).parent / "wrk" / "requests.lua"
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Load:
    """What was counted.

    Attributes:
        answers: Whole answers.
        bytes: Bytes read, with those of answers that the end cut off.
        duration_us: For how long requests were sent.
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
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.duration_us * 1e6

    def check(self, connections: int, bytes_each: int | None) -> None:
        """Raise BenchError unless all requests succeeded with answers of as many bytes.

        Args:
            connections: How many answers the end may have cut off.
            bytes_each: The bytes of a good answer; None if they differ.
        """
        if self.failed or self.statuses or not self.answers:
            raise BenchError(
                f"{self.answers} answers, {self.statuses} of them with an error status; "
                f"{self.failed} requests failed"
            )
        if bytes_each is None:
            return
        least = self.answers * bytes_each
        if not least <= self.bytes <= least + connections * bytes_each:
            raise BenchError(
                f"{self.answers} answers had {self.bytes} bytes, and not {bytes_each} each: "
                "some of them were errors"
            )


def require_wrk() -> None:
    """Raise BenchError if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is missing: apt-get install wrk, dnf install wrk or brew install wrk")


def run_wrk(
    port: int, requests: Path, seconds: float, connections: int = CONNECTIONS, pause_ms: float = 0
) -> Load:
    """Send the requests of a file over and over, from one thread.

    Args:
        port: The server's.
        requests: The file, written by `write_requests`.
        seconds: For how long.
        connections: How many connections send at once.
        pause_ms: The mean time that a connection waits before a request.

    Raises:
        BenchError: wrk failed.
    """
    process = subprocess.Popen(
        [
            "wrk", "-t1", f"-c{connections}", "-d600s", f"--timeout={_TIMEOUT_S}s",
            "-s", str(SCRIPT), f"http://127.0.0.1:{port}/", "--", str(requests), str(pause_ms),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it takes whole seconds only, and stops well on Ctrl-C
    printed, errors = process.communicate(timeout=60)
    last = printed.rpartition("\n{")[2]
    if process.returncode or not last:
        raise BenchError(f"wrk failed: {printed[-500:]}{errors[-500:]}")
    return Load(**json.loads("{" + last))


def run_one_by_one(
    port: int,
    requests: Sequence[bytes],
    seconds: float,
    pause_ms: float = 0,
    check: Check = lambda _: None,
) -> Load:
    """Send one request at a time, at least two, until the time is over or all were sent.

    Args:
        port: The server's.
        requests: The requests.
        seconds: For how long; the last answer is waited for.
        pause_ms: How long to wait after each answer.
        check: Checks the body of each answer.

    Raises:
        BenchError: An answer is wrong.
    """
    connection = Connection(port)
    size, times, started = 0, [], time.perf_counter()
    for request in requests:
        begun = time.perf_counter()
        head, body = connection.send(request)
        size += len(head) + len(body)
        times.append(time.perf_counter() - begun)
        check(body)
        if time.perf_counter() - started >= seconds and len(times) > 1:
            break
        time.sleep(pause_ms / 1000)
    duration_us = round((time.perf_counter() - started) * 1e6)
    connection.close()
    cuts = quantiles([each * 1e6 for each in times], n=100, method="inclusive")
    return Load(len(times), size, duration_us, 0, 0, cuts[49], cuts[98])
