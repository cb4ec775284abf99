"""Delivers what is due: finds it, leases it, sends it, stores the results.

Several deliverers, in processes of one or more machines, share the work through the queue's leases.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from functools import partial
from math import inf
from time import monotonic
from typing import Final

from openpns import __version__
from openpns.accounts.secret_box import SecretBox
from openpns.clock import Clock, now_ms
from openpns.core import logs
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.failure_log import FailureLog
from openpns.deliveries.queue import LEASE_MARGIN_MS, Backlog, Claimed, DueCustomer, Queue, Result
from openpns.deliveries.receivers import Receiver, Receivers, Target
from openpns.deliveries.results import ResultWriter
from openpns.deliveries.schedule import delay_ms
from openpns.deliveries.sending import Outcome, Sender
from openpns.deliveries.settings import DeliverySettings, sending_settings
from openpns.deliveries.signature import secret_owner, sign
from openpns.deliveries.urls import parse_url
from openpns.deliveries.wire import TEST, WEBHOOK_ID_PREFIX
from openpns.errors import ConfigError, InternalError, WireError
from openpns.storage.store import Store
from openpns.webhooks.headers import ID, SIGNATURE, TIMESTAMP

POLL_S: Final = 1.0
"""How often the queue is looked at while nothing is due."""

_TURN_S_MIN: Final = 0.01
"""The time between two looks at the queue at least: so that places that get free together are
filled together."""
_AFTER_LOSS_S: Final = 2.0
"""How long after the database was lost nothing is leased: other workers store the results that they
hold first, so that nobody repeats these deliveries."""
_CUSTOMERS_EACH: Final = 256
"""Customers that one look at the queue visits."""
_GONE: Final = 410
_AGENT: Final = f"openpns/{__version__}".encode()


class Deliverer:
    """Delivers on the running event loop.

    Args:
        clock: Decides what is due; it may be a test's. How long attempts take is real time.
        sender: None for one that is made with the first delivery: until then the HTTP client is not
            loaded.
        owner: The name in leases; no other deliverer may have it. None for a random one.
    """

    def __init__(
        self,
        store: Store,
        secret_box: SecretBox,
        settings: DeliverySettings,
        clock: Clock = now_ms,
        *,
        sender: Sender | None = None,
        owner: str | None = None,
        counters: DeliveryCounters | None = None,
    ) -> None:
        self._settings = settings
        self._secret_box = secret_box
        self._clock = clock
        self._sender = sender
        self.counters = counters or DeliveryCounters()
        owner = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._queue = Queue(store, owner)
        self._results = ResultWriter(self._queue)
        self._receivers = Receivers(
            settings.webhook_requests_max, settings.webhook_requests_per_customer_max
        )
        self._failures = FailureLog()
        self._lease_ms = settings.webhook_timeout_ms + LEASE_MARGIN_MS
        self._attempts: dict[asyncio.Task[None], tuple[str, str]] = {}
        self._after = ""
        self._is_empty = True
        self._read_s = monotonic()
        self._wake = asyncio.Event()
        self._is_stopping = False

    async def run(self, grace_s: float = 0.0) -> None:
        """Deliver until `stop` is called; an unavailable database is waited for.

        Then finish the attempts in flight, and after `grace_s` give those that are left back.

        Raises:
            ConfigError: The certificates of authorities cannot be read; nothing was leased.
        """
        while not self._is_stopping:
            began_s = monotonic()
            self._wake.clear()
            try:
                await self._turn()
            except WireError as error:
                self._after = ""
                self._results.note_loss()
                logs.logger().warning("deliveries not read", why=error.msg)
            if not self._after:  # else more customers are to be visited
                await self._wait(POLL_S)
            await asyncio.sleep(max(began_s + _TURN_S_MIN - monotonic(), 0))
        await self._finish(grace_s)

    def stop(self) -> None:
        """Let `run` end."""
        self._is_stopping = True
        self._wake.set()

    async def run_once(self) -> int:
        """Make every attempt that is due, until none is; return how many were made.

        Nothing is waited for but the receivers; also one that fails gets an attempt of each of its
        deliveries that is due.

        Raises:
            WireError: The storage failed.
            ConfigError: See `run`.
        """
        made = 0
        while True:
            self._after = ""
            before = made
            while True:
                made += await self._start_attempts(with_pauses=False)
                if self._attempts:
                    await asyncio.wait(self._attempts)
                await self._results.flush()
                if not self._after:
                    break
            if made == before:
                return made

    async def close(self) -> None:
        """Close all connections; what is in flight is due again when its lease ends."""
        self.stop()
        for task in list(self._attempts):
            task.cancel()
        self._failures.flush(inf)
        await self._results.close()
        if self._sender is not None:
            await self._sender.close()

    def read_s_ago(self) -> float:
        """Return how long ago the queue was read last, in s."""
        return monotonic() - self._read_s

    async def measure(self) -> None:
        """Update the gauges of the backlog, and write the log lines that are due.

        Nothing is read if the queue was empty a moment ago.

        Raises:
            WireError: The storage failed.
        """
        self._failures.flush(monotonic())
        backlog = Backlog(0, None) if self._is_empty else await self._queue.backlog()
        age_ms = 0 if backlog.oldest_ms is None else max(self._clock() - backlog.oldest_ms, 0)
        self.counters.set_backlog(backlog.count, age_ms // 1000)

    async def _turn(self) -> None:
        """Look at the queue once, and begin attempts."""
        if self._results.lost_s_ago() >= _AFTER_LOSS_S:
            await self._start_attempts(with_pauses=True)

    async def _finish(self, grace_s: float) -> None:
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace_s)
        left = list(self._attempts.values())
        for task in list(self._attempts):
            task.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        try:
            await self._results.flush()
            if left:
                await self._queue.release(left, self._clock())
        except WireError as error:  # they are due again when their leases end
            logs.logger().warning("leases of deliveries not given back", why=error.msg)

    async def _start_attempts(self, *, with_pauses: bool) -> int:
        """Lease what is due of the next customers, as far as there are places; begin attempts."""
        now = self._clock()
        rows = await self._queue.find_customers(self._after, now, _CUSTOMERS_EACH)
        self._read_s = monotonic()
        self._is_empty = not rows and not self._after
        self._after = rows[-1].customer_id if len(rows) == _CUSTOMERS_EACH else ""
        self._receivers.forget_idle()
        due = [self._receiver_of(row) for row in rows if row.is_due]
        shares = self._receivers.share(due, monotonic(), with_pauses=with_pauses)
        if not shares:
            return 0
        if self._sender is None:  # before the claim: what cannot be sent stays due
            self._sender = Sender(sending_settings(self._settings), self._clock)
        # A lease may end before its attempt, if the clock jumps or the process was suspended.
        # Claimed once more, the attempt or the result that waits has a lease again: go on with it.
        held = {*self._attempts.values(), *self._results.waiting()}
        claimed = await self._queue.claim(shares, now, now + self._lease_ms)
        begun = 0
        for customer_id, deliveries in claimed.items():
            receiver = self._receivers.find(customer_id)
            assert receiver is not None
            for delivery in deliveries:
                if (customer_id, delivery.delivery_id) not in held:
                    self._begin(receiver, delivery)
                    begun += 1
        return begun

    def _begin(self, receiver: Receiver, delivery: Claimed) -> None:
        receiver.begin(delivery.delivery_id, monotonic())
        task = asyncio.create_task(self._attempt(receiver, receiver.target, delivery))
        self._attempts[task] = (receiver.customer_id, delivery.delivery_id)
        task.add_done_callback(partial(self._end, receiver.customer_id, delivery.delivery_id))
        self.counters.set_in_flight(len(self._attempts))

    def _end(self, customer_id: str, delivery_id: str, task: asyncio.Task[None]) -> None:
        del self._attempts[task]
        receiver = self._receivers.find(customer_id)
        if receiver is not None:
            receiver.drop(delivery_id)  # if it has no result
        self.counters.set_in_flight(len(self._attempts))
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            logs.logger().error("attempt to deliver has no result", **logs.describe_error(error))

    async def _attempt(self, receiver: Receiver, target: Target, delivery: Claimed) -> None:
        try:
            outcome = await self._send(target, delivery, receiver.customer_id)
        except Exception as error:  # noqa: BLE001 - without a result, it would be tried for ever
            logs.logger().error("attempt to deliver failed", **logs.describe_error(error))
            outcome = Outcome(0, f"cannot be sent ({type(error).__name__})")
        # The webhook may have been changed meanwhile, and its receiver replaced.
        current = self._receivers.find(receiver.customer_id) or receiver
        self._results.add(self._result_of(current, target, delivery, outcome))

    async def _send(self, target: Target, delivery: Claimed, owner: str) -> Outcome:
        if target.url is None:
            return Outcome(0, target.problem)
        assert self._sender is not None
        now = self._clock()
        webhook_id, body = WEBHOOK_ID_PREFIX + delivery.delivery_id, delivery.body.encode()
        signature = sign(target.secrets(now), webhook_id, now // 1000, body)
        headers = (
            (b"content-type", b"application/json"),
            (b"user-agent", _AGENT),
            (ID.encode(), webhook_id.encode()),
            (TIMESTAMP.encode(), str(now // 1000).encode()),
            (SIGNATURE.encode(), signature.encode()),
        )
        return await self._sender.send(target.url, headers, body, owner)

    def _result_of(
        self, receiver: Receiver, target: Target, delivery: Claimed, outcome: Outcome
    ) -> Result:
        now, delivery_id = self._clock(), delivery.delivery_id
        state, next_ms, result = "delivered", now, "delivered"
        if outcome.is_taken:
            is_turned = receiver.succeed(delivery_id, monotonic(), self._receivers.width_max)
        else:
            is_turned = receiver.fail(delivery_id, monotonic(), now, outcome.retry_after_s)
            delay = None
            # A test is for whoever waits for it now, also if that command was killed.
            if outcome.status != _GONE and delivery.kind != TEST:
                schedule = self._settings.webhook_schedule
                delay = delay_ms(schedule, delivery.round_tries + 1, outcome.retry_after_s)
            state, next_ms = ("failed", now) if delay is None else ("pending", now + delay)
            result = "retried" if delay is not None else "failed"
            result = "gone" if outcome.status == _GONE else result
        self.counters.count(result)
        if is_turned:
            why = None if outcome.is_taken else outcome.error
            self._failures.turn(receiver.customer_id, monotonic(), why)
        if state == "failed":
            self._failures.fail(receiver.customer_id, monotonic(), outcome.error)
        return Result(
            receiver.customer_id,
            delivery_id,
            state,
            next_ms,
            now,
            outcome.status,
            outcome.error,
            target.changed_ms,
            receiver.failing_ms if is_turned and receiver.target is target else None,
            outcome.status == _GONE,
        )

    def _receiver_of(self, row: DueCustomer) -> Receiver:
        known = self._receivers.find(row.customer_id)
        if known is None or known.target.changed_ms != row.changed_ms:
            known = Receiver(row.customer_id, self._target_of(row), row.failing_ms or 0)
            self._receivers.add(known)
        elif known.target.url is None:  # what was wrong may be in order now
            known.target = self._target_of(row)
        return known

    def _target_of(self, row: DueCustomer) -> Target:
        assert row.url is not None
        assert row.changed_ms is not None
        try:
            allowed = self._settings.webhook_http_allowed == "on"
            url = parse_url(row.url, http_allowed=allowed)
            found = [
                None if ciphertext is None else self._decrypt(ciphertext, row.customer_id)
                for ciphertext in (row.secret_ciphertext, row.previous_ciphertext)
            ]
        except (ConfigError, InternalError) as error:
            return Target(row.changed_ms, problem=f"cannot be sent: {error}")
        secret, previous = found
        return Target(row.changed_ms, url, secret or "", previous, row.previous_until_ms)

    def _decrypt(self, ciphertext: bytes, customer_id: str) -> str:
        return self._secret_box.decrypt(ciphertext, secret_owner(customer_id)).decode()

    async def _wait(self, seconds: float) -> None:
        """Wait until a place gets free, or `stop` is called."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
