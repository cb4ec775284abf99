import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from openpns.api.counters import (
    GAUGES,
    NO_ACTION,
    Counters,
    create_counter_file,
    read_beats,
    read_total,
)
from openpns.api.metrics import CounterCollector
from openpns.routing.outcomes import CALLS_OMITTED, GUARDS_DROPPED, OUTCOMES, TRACES_DROPPED

# A worker: counts one finished request and one in flight, then waits.
WORKER = """
import sys
from openpns.api.counters import Counters
counters = Counters(int(sys.argv[1]))
counters.count("listGroup", 0, 0.002)
counters.set_gauges(1, *[0] * 8, 5, 6, 7, 8, 9)
print("ready", flush=True)
sys.stdin.read()
"""

CALLS = "openpns_calls_asked_total"

Samples = dict[tuple[str, ...], float]


GAUGE_NAMES = [name.removeprefix("openpns_") for name, _ in GAUGES]


def _samples(cells: list[int]) -> Samples:
    """Return the values of a scrape, by sample name and label values in order of label names."""
    registry = CollectorRegistry()
    registry.register(CounterCollector(cells))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def file() -> Iterator[int]:
    descriptor = create_counter_file(3)
    yield descriptor
    os.close(descriptor)


class Worker:
    """A process that holds a row of the file."""

    def __init__(self, file: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[file],
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def two_workers(file: int) -> Iterator[list[Worker]]:
    workers = [Worker(file), Worker(file)]
    for worker in workers:
        worker.wait_until_ready()
    yield workers
    for worker in workers:
        worker.kill()


def test_requests_are_counted_by_action_and_code() -> None:
    counters = Counters()
    for code in (0, 0, 10011):
        counters.count("listGroup", code, 0.001)
    counters.count(NO_ACTION, 1003, 0.001)
    samples = _samples(counters.total())
    assert samples["openpns_requests_total", "listGroup", "0"] == 2
    assert samples["openpns_requests_total", "listGroup", "10011"] == 1
    assert samples["openpns_requests_total", "none", "1003"] == 1
    assert ("openpns_requests_total", "createGroup", "0") not in samples


def test_histogram_is_cumulative() -> None:
    counters = Counters()
    for duration_s in (0.0005, 0.0006, 0.2, 11.0):
        counters.count("createGroup", 0, duration_s)
    samples = _samples(counters.total())
    bucket, action = "openpns_request_duration_seconds_bucket", "createGroup"
    assert samples[bucket, action, "0.0005"] == 1
    assert samples[bucket, action, "0.001"] == 2
    assert samples[bucket, action, "0.1"] == 2
    assert samples[bucket, action, "0.25"] == 3
    assert samples[bucket, action, "10.0"] == 3
    assert samples[bucket, action, "+Inf"] == 4
    assert samples["openpns_request_duration_seconds_count", action] == 4
    total = samples["openpns_request_duration_seconds_sum", action]
    assert total == pytest.approx(11.2011, abs=1e-5)


def test_storage_errors_are_exported() -> None:
    counters = Counters()
    counters.count("listGroup", 19004, 0.0)
    counters.count_storage_error()
    samples = _samples(counters.total())
    assert samples["openpns_storage_errors_total",] == 1


def test_read_total_sums_all_workers(file: int, two_workers: list[Worker]) -> None:
    own = Counters(file)
    own.count("listGroup", 0, 0.002)
    samples = _samples(read_total(file))
    assert samples["openpns_requests_total", "listGroup", "0"] == 3
    assert samples["openpns_requests_in_flight",] == 2


def test_row_of_dead_worker_is_reused_with_its_counts(file: int, two_workers: list[Worker]) -> None:
    two_workers[0].kill()
    own = Counters(file)
    own.count("listGroup", 0, 0.002)
    samples = _samples(read_total(file))
    assert samples["openpns_requests_total", "listGroup", "0"] == 3
    # The dead worker's request is not in flight any more.
    assert samples["openpns_requests_in_flight",] == 1


def test_counters_raise_without_free_row(file: int, two_workers: list[Worker]) -> None:
    third = Worker(file)
    third.wait_until_ready()
    try:
        with pytest.raises(RuntimeError, match="more workers than rows"):
            Counters(file)
    finally:
        third.kill()


BEATING = """
import os, sys
from openpns.api.counters import Counters
counters = Counters(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    counters.beat()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_read_beats_returns_the_heartbeat_of_each_worker_since_its_start(file: int) -> None:
    expected: dict[int, int] = {}
    for count in (0, 3):
        arguments = [sys.executable, "-c", BEATING, str(file), str(count)]
        worker = subprocess.run(
            arguments, check=True, pass_fds=[file], input="", stdout=subprocess.PIPE, text=True
        )
        expected = {int(worker.stdout): count}  # each takes the row of the one before
        assert expected.items() <= read_beats(file).items()
    own = Counters(file)
    own.beat()
    assert read_beats(file)[os.getpid()] == 1


def test_omitted_lines_are_exported() -> None:
    counters = Counters()
    counters.count_omitted_line()
    assert _samples(counters.total())["openpns_log_lines_omitted_total",] == 1


def test_events_are_exported_by_outcome() -> None:
    counters = Counters()
    for event, number in (("axb", 1), ("ambiguous", 2), ("ambiguous", 1)):
        counters.count_event(event, number)
    counters.count_event(TRACES_DROPPED, 5)
    counters.count_event(GUARDS_DROPPED, 6)
    counters.count_event(CALLS_OMITTED, 7)
    samples = _samples(counters.total())
    outcomes = {key[1]: value for key, value in samples.items() if key[0].startswith(CALLS)}
    assert {outcome: value for outcome, value in outcomes.items() if value} == {
        "axb": 1,
        "ambiguous": 3,
    }
    assert [*outcomes] == [*OUTCOMES]
    assert samples["openpns_call_traces_dropped_total",] == 5
    assert samples["openpns_wrong_digits_dropped_total",] == 6
    assert samples["openpns_unbound_calls_omitted_total",] == 7


def test_calls_are_exported_by_their_result() -> None:
    counters = Counters()
    for result, number in (("busy", 2), ("answered", 1), ("busy", 1)):
        counters.count_event(result, number)
    samples = _samples(counters.total())
    calls = {key[1]: value for key, value in samples.items() if key[0] == "openpns_calls_total"}
    assert {result: count for result, count in calls.items() if count} == {
        "answered": 1,
        "busy": 3,
    }


def test_gauges_of_the_database_are_those_of_one_worker(file: int) -> None:
    workers = [Worker(file), Worker(file)]
    try:
        for worker in workers:
            worker.wait_until_ready()
        samples = _samples(read_total(file))
    finally:
        for worker in workers:
            worker.kill()
    assert samples["openpns_requests_in_flight",] == 2
    assert [samples[f"openpns_{name}",] for name in GAUGE_NAMES[-5:]] == [5, 6, 7, 8, 9]


def test_gauges_show_the_last_values() -> None:
    counters = Counters()
    counters.set_gauges(4, 3, 20_000, 5, 2, 1, 7, 6, 8, 9, 9, 9, 9, 9)
    counters.set_gauges(1, 2, 10_000, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    samples = _samples(counters.total())
    values = {name: samples[f"openpns_{name}",] for name in GAUGE_NAMES}
    assert values == {
        "requests_in_flight": 1,
        "connections": 2,
        "received_bytes": 10_000,
        "unsent_bytes": 0,
        "searches": 3,
        "searches_waiting": 4,
        "large_pages": 5,
        "large_pages_waiting": 6,
        "writes_waiting": 7,
        "audit_unsealed_entries": 8,
        "audit_unsealed_age_seconds": 9,
        "database_bytes": 10,
        "database_log_bytes": 11,
        "customers_held": 12,
    }
