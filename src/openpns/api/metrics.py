"""The counters of all workers as Prometheus metrics. A worker does not import this."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from openpns.api.counters import (
    ACTIONS_COUNTED,
    BUCKETS_S,
    CODES_COUNTED,
    EVENT,
    EVENTS,
    GAUGE,
    GAUGES,
    LATENCY,
    LATENCY_CELLS,
    LINES_OMITTED,
    STORAGE_ERRORS,
)
from openpns.call_records.causes import RESULTS
from openpns.routing.outcomes import CALLS_OMITTED, GUARDS_DROPPED, OUTCOMES, TRACES_DROPPED


class CounterCollector(Collector):
    """Collect Prometheus metrics from cells of `counters.read_total` or `Counters.total`."""

    def __init__(self, cells: list[int]) -> None:
        self._cells = cells

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        requests = CounterMetricFamily(
            "openpns_requests", "Requests answered.", labels=("action", "code")
        )
        latency = HistogramMetricFamily(
            "openpns_request_duration_seconds",
            "Time of the response, to its last chunk.",
            labels=("action",),
        )
        for index, action in enumerate(ACTIONS_COUNTED):
            for code_index, code in enumerate(CODES_COUNTED):
                count = self._cells[index * len(CODES_COUNTED) + code_index]
                if count:
                    requests.add_metric((action, str(code)), count)
            self._add_latency(latency, index, action)
        yield requests
        yield latency
        for index, (name, meaning) in enumerate(GAUGES):
            yield GaugeMetricFamily(name, meaning, value=self._cells[GAUGE + index])
        yield CounterMetricFamily(
            "openpns_storage_errors",
            "Requests that failed because of the database.",
            value=self._cells[STORAGE_ERRORS],
        )
        yield CounterMetricFamily(
            "openpns_log_lines_omitted",
            "Log lines of requests that a bound has omitted.",
            value=self._cells[LINES_OMITTED],
        )
        yield from self._events()

    def _events(self) -> Iterator[Metric]:
        counts = dict(zip(EVENTS, self._cells[EVENT : EVENT + len(EVENTS)], strict=True))
        calls = CounterMetricFamily(
            "openpns_calls_asked", "Questions who is called, by outcome.", labels=("outcome",)
        )
        for outcome in OUTCOMES:
            calls.add_metric((outcome,), counts[outcome])
        yield calls
        reported = CounterMetricFamily(
            "openpns_calls", "Calls reported for the first time.", labels=("result",)
        )
        for result in RESULTS:
            reported.add_metric((result,), counts[result])
        yield reported
        yield CounterMetricFamily(
            "openpns_call_traces_dropped",
            "Traces of calls that were deleted or lost before their time.",
            value=counts[TRACES_DROPPED],
        )
        yield CounterMetricFamily(
            "openpns_wrong_digits_dropped",
            "Callers whose wrong digits were forgotten before their time.",
            value=counts[GUARDS_DROPPED],
        )
        yield CounterMetricFamily(
            "openpns_unbound_calls_omitted",
            "Calls without a binding that a bound has kept from a webhook.",
            value=counts[CALLS_OMITTED],
        )

    def _add_latency(self, latency: HistogramMetricFamily, index: int, action: str) -> None:
        start = LATENCY + index * LATENCY_CELLS
        *counts, sum_us = self._cells[start : start + LATENCY_CELLS]
        if not any(counts):
            return
        buckets: list[tuple[str, float]] = []
        cumulative = 0
        for bound, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True):
            cumulative += count
            buckets.append((str(bound), cumulative))
        latency.add_metric((action,), buckets, sum_value=sum_us / 1e6)
