"""A server, or a database, whose customer has bound two phones and made calls."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.bindings.conftest import A, B, X, _emulator, emulator
from tests.cli.conftest import Run

from openpns import Client
from openpns.call_records import service
from openpns.cli.call_records.source import Place, with_customer
from openpns.cli.options import ServerOptions
from openpns.core.context import Context
from openpns.routing import traces
from openpns.testing import Emulator

__all__ = ["_emulator", "emulator"]

START = datetime(2022, 12, 8, 8, tzinfo=UTC)


@pytest.fixture
def api(emulator: Emulator, run_anywhere: Run) -> Run:
    """Runs `openpns` with a server on which A has called B three times, a minute apart."""
    with Client(emulator.base_url, emulator.access_key, emulator.access_secret) as pns:
        pns.bindings.bind_axb(A, B, expire_s=0, customer_bind_id="=1+1")
        for minute in range(3):
            begun = START + timedelta(minutes=minute)
            pns.call_records.report(
                pns.bindings.query(A, X).call_id,
                start=begun,
                answer=begun + timedelta(seconds=4) if minute else None,
                hangup=begun + timedelta(seconds=10),
                hangup_cause="NORMAL_CLEARING" if minute else "USER_BUSY",
            )
    return run_anywhere


@pytest.fixture
def stored(openpns: Run, database_url: str) -> Run:
    """Runs `openpns` with a database in which an unknown phone has called three times."""
    openpns("numbers", "add", X, "--customer", "cus_1")

    async def work(context: Context) -> None:
        for minute in range(3):
            traces.note(
                context.services,
                traces.Trace("cus_1", f"{minute + 1}", 1, "", A, "", X, "", 0, "1"),
            )
            await service.report_call(
                context,
                call_id=f"{minute + 1}",
                start_at=int(START.timestamp()) + 60 * minute,
                hangup_at=int(START.timestamp()) + 60 * minute,
                store_traces=traces.store,
            )

    with_customer(Place(ServerOptions(None, None, None), database_url, "cus_1"), work)
    return openpns
