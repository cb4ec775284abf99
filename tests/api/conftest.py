"""An API in this process, without a socket; its log is in memory."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from tests.conftest import FakeClock
from tests.helpers import LIST_ALL, as_request, envelope_of, hmac_signed_headers, signed_headers

from openpns.accounts import access_keys
from openpns.accounts.access_keys import NewSecret
from openpns.accounts.secret_box import SecretBox
from openpns.api.counters import Counters
from openpns.api.pipeline import Api
from openpns.api.request_log import RequestLog
from openpns.core.context import Services
from openpns.core.principal import Principal
from openpns.storage.store import Store
from openpns.transport.messages import Reply

NONCE = "q0X3c9-Vb_7Kd2Lz"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Log:
    """A structlog logger whose lines stay in memory."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.logger = structlog.wrap_logger(
            structlog.PrintLogger(self._file),
            processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
        )

    @property
    def text(self) -> str:
        return self._file.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([bytes(range(32))])


@pytest.fixture
async def key(
    store: Store, secret_box: SecretBox, clock: FakeClock, principal: Principal
) -> NewSecret:
    """An access key of the customer cus_1."""
    return await access_keys.create(
        store,
        secret_box,
        clock,
        principal.customer_id,
        access_key=principal.access_key,
        access_secret="a-secret-of-cus-1",
    )


class Server:
    """An API, and an access key of a customer to sign requests with."""

    def __init__(
        self, services: Services, secret_box: SecretBox, clock: FakeClock, key: NewSecret, log: Log
    ) -> None:
        self.services = services
        self.secret_box = secret_box
        self.clock = clock
        self.key = key
        self.log = log
        self.counters = Counters()
        self.make_api()

    def make_api(self, services: Services | None = None, **bounds: Any) -> None:
        """Replace the API by another one."""
        request_log = RequestLog(self.counters, self.log.logger, slow_ms=60_000)
        services = services or self.services
        if "rates" in bounds:
            services = replace(services, rates=bounds.pop("rates"))
        self.api = Api(services, self.secret_box, request_log, **bounds)

    def headers(
        self,
        action: str = "listGroup",
        body: bytes = LIST_ALL,
        *,
        key: NewSecret | None = None,
        ts: int | None = None,
        **others: str,
    ) -> list[tuple[str, str]]:
        """Return the headers of a request, signed now."""
        sent_ms = self.clock.now_ms if ts is None else ts
        return signed_headers(key or self.key, action, body, sent_ms, **others)

    def hmac_headers(
        self,
        action: str = "listGroup",
        body: bytes = LIST_ALL,
        nonce: str = NONCE,
        *,
        key: NewSecret | None = None,
        **others: str,
    ) -> list[tuple[str, str]]:
        """Return the headers of a request of the HMAC scheme, signed now."""
        now_ms = self.clock.now_ms
        return hmac_signed_headers(key or self.key, action, body, now_ms, nonce, **others)

    async def send(
        self,
        action: str = "listGroup",
        body: bytes = LIST_ALL,
        *,
        method: str = "POST",
        path: str = "/api/pns/",
        headers: list[tuple[str, str]] | None = None,
        key: NewSecret | None = None,
        ts: int | None = None,
        address: str = "127.0.0.1",
        **others: str,
    ) -> Reply:
        """Send a request, signed now unless `headers` are given."""
        sent = headers or self.headers(action, body, key=key, ts=ts, **others)
        request = as_request(sent, body, method=method, path=path, address=address)
        return await self.api.respond(request)

    async def code(self, *args: Any, **kwargs: Any) -> int:
        """Send a request and return the code of the response."""
        return int(envelope_of(await self.send(*args, **kwargs))["code"])


@pytest.fixture
def server(
    services: Services, secret_box: SecretBox, clock: FakeClock, key: NewSecret, log: Log
) -> Server:
    """An API with the customer cus_1, which has no groups."""
    return Server(services, secret_box, clock, key, log)
