import os

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from openpns.deliveries import counters
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.metrics import DeliveryCollector


def test_counters_of_a_worker_are_exported() -> None:
    descriptor = counters.create_file(2)
    own = DeliveryCounters(descriptor)
    for result in ("delivered", "delivered", "retried", "failed", "gone"):
        own.count(result)
    own.set_in_flight(3)
    own.set_backlog(70, 65)
    own.beat()
    assert counters.read_beats(descriptor)[os.getpid()] == 1
    registry = CollectorRegistry()
    registry.register(DeliveryCollector(counters.read_total(descriptor)))
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'openpns_delivery_attempts_total{result="delivered"} 2.0',
        'openpns_delivery_attempts_total{result="retried"} 1.0',
        'openpns_delivery_attempts_total{result="failed"} 1.0',
        'openpns_delivery_attempts_total{result="gone"} 1.0',
        "openpns_deliveries_in_flight 3.0",
        "openpns_deliveries_pending 70.0",
        "openpns_deliveries_oldest_age_seconds 65.0",
    ]
    os.close(descriptor)


def test_what_all_workers_see_is_not_added_up() -> None:
    cells = DeliveryCounters()
    cells.set_backlog(7, 8)
    rows = cells.total()
    descriptor = counters.create_file(2)
    os.pwrite(descriptor, b"".join(cell.to_bytes(8, "little") for cell in rows * 2), 0)
    total = counters.read_total(descriptor)
    assert (total[counters.PENDING], total[counters.OLDEST_S]) == (7, 8)
    os.close(descriptor)
