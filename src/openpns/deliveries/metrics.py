"""The counters of delivery workers as Prometheus metrics. No worker imports this."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from openpns.deliveries.counters import IN_FLIGHT, OLDEST_S, PENDING, RESULTS


class DeliveryCollector(Collector):
    """Collect metrics from cells of `counters.read_total` or `DeliveryCounters.total`."""

    def __init__(self, cells: Sequence[int]) -> None:
        self._cells = cells

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        attempts = CounterMetricFamily(
            "openpns_delivery_attempts", "Attempts to deliver to a webhook.", labels=("result",)
        )
        for place, result in enumerate(RESULTS):
            attempts.add_metric((result,), self._cells[place])
        yield attempts
        for name, meaning, cell in (
            ("openpns_deliveries_in_flight", "Attempts to deliver in flight.", IN_FLIGHT),
            (
                "openpns_deliveries_pending",
                "Pending deliveries of active webhooks, of the 10 000 oldest pending ones.",
                PENDING,
            ),
            (
                "openpns_deliveries_oldest_age_seconds",
                "Age of the oldest pending delivery of an active webhook.",
                OLDEST_S,
            ),
        ):
            yield GaugeMetricFamily(name, meaning, value=self._cells[cell])
