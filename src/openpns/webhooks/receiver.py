"""Verify a delivery, and return its event."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

from openpns.clock import Clock, now_ms
from openpns.errors import ConfigError
from openpns.webhooks.errors import (
    WebhookError,
    WebhookExpired,
    WebhookSignatureMismatch,
    WebhookTooLarge,
)
from openpns.webhooks.events import Event, read_event
from openpns.webhooks.headers import Headers, read_headers
from openpns.webhooks.signature import Secrets

TOLERANCE_S: Final = 300
BODY_BYTES_MAX: Final = 1 << 20
TIME_ZONE: Final = timezone(timedelta(hours=8))
"""Of occurrenceTime, unless the server's setting `webhook_time_zone` is another one."""

_TOLERANCE_S_MAX: Final = 3600
_BODY_BYTES_MAX_MAX: Final = 1 << 30


class Receiver:
    """Verifies deliveries and returns their events; make one and keep it. Thread-safe.

    Args:
        secrets: The webhook's secret, `whsec_…`; during a rotation both: several texts, or one
            with commas or white space between them.
        tolerance_s: How far the sender's clock may be from this machine's, in both directions: 1
            to 3600 s, both ends included.
        body_bytes_max: A larger body is refused.
        time_zone: The server's setting `webhook_time_zone`, for the time of unbound calls.
        clock: This machine's time in ms since 1970 UTC, for tests.

    Raises:
        ConfigError: An argument is not allowed.
    """

    def __init__(
        self,
        secrets: str | Iterable[str],
        *,
        tolerance_s: float = TOLERANCE_S,
        body_bytes_max: int = BODY_BYTES_MAX,
        time_zone: tzinfo = TIME_ZONE,
        clock: Clock = now_ms,
    ) -> None:
        self._secrets = Secrets(secrets)
        if not _is_number(tolerance_s) or not 1 <= tolerance_s <= _TOLERANCE_S_MAX:
            raise ConfigError(f"tolerance_s: allowed are 1 to {_TOLERANCE_S_MAX} seconds")
        if type(body_bytes_max) is not int or not 1 <= body_bytes_max <= _BODY_BYTES_MAX_MAX:
            raise ConfigError(f"body_bytes_max: allowed are 1 to {_BODY_BYTES_MAX_MAX} bytes")
        if not isinstance(time_zone, tzinfo):
            raise ConfigError("time_zone: allowed is a tzinfo, such as datetime.UTC")
        self.tolerance_s = tolerance_s
        self.body_bytes_max = body_bytes_max
        self._time_zone = time_zone
        self._clock = clock

    def __repr__(self) -> str:  # without the secrets
        return f"Receiver(tolerance_s={self.tolerance_s}, body_bytes_max={self.body_bytes_max})"

    def verify(self, body: bytes | bytearray | memoryview, headers: Headers) -> Event:
        """Return the event of a delivery.

        Args:
            body: The raw bytes of the request, before any parser.
            headers: All headers of the request, in the form of any framework.

        Raises:
            WebhookTooLarge: The body is larger than `body_bytes_max`.
            WebhookMalformed: A header is missing, repeated or malformed, or the body is no event.
            WebhookExpired: The timestamp is too old or too new.
            WebhookSignatureMismatch: No signature matches.
            ConfigError: An argument has another type: a mistake of this program, not of the sender.
        """
        result = self._read(body, headers)
        del body, headers  # error trackers store the variables of a traceback
        if isinstance(result, WebhookError):
            raise result
        return result

    def _read(self, body: bytes | bytearray | memoryview, headers: Headers) -> Event | WebhookError:
        """Return the event, or why there is none."""
        raw = _raw(body)
        if len(raw) > self.body_bytes_max:
            return WebhookTooLarge(f"the body is larger than {self.body_bytes_max} bytes")
        try:
            found = read_headers(headers)
            self._check_time(found.timestamp_s)
            if not self._secrets.match(found, raw):
                raise WebhookSignatureMismatch(
                    "webhook-signature: does not match; allowed is one over the raw bytes of the "
                    "body, with a secret that is in force"
                )
            sent = datetime.fromtimestamp(found.timestamp_s, UTC)
            return read_event(raw, found.message_id, sent, self._time_zone)
        except WebhookError as error:
            return error.with_traceback(None)

    def _check_time(self, timestamp_s: int) -> None:
        late_ms = self._clock() - timestamp_s * 1000
        if abs(late_ms) <= self.tolerance_s * 1000:
            return
        age_s = abs(late_ms) / 1000
        how = f"{age_s:.0f} s before" if late_ms > 0 else f"{age_s:.0f} s after"
        raise WebhookExpired(
            f"webhook-timestamp: {how} this machine's time; allowed are {self.tolerance_s:g} s: "
            "an old delivery was sent again, or a clock is wrong"
        )


def verify(
    body: bytes,
    headers: Headers,
    secrets: str | Iterable[str],
    *,
    tolerance_s: float = TOLERANCE_S,
) -> Event:
    """Return the event of a delivery; see `Receiver`, which is quicker if it is kept."""
    return Receiver(secrets, tolerance_s=tolerance_s).verify(body, headers)


def _raw(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise ConfigError(
        f"body: allowed are the raw bytes of the request, not {type(body).__name__}: JSON that was "
        "parsed and written again has another signature"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
