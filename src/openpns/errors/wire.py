"""The errors of the wire: one class for each code.

The docstring of a class with a code is its row in docs/errors.md. No text contains a secret, a
phone number or a part of a body.
"""

from datetime import datetime
from typing import Any, ClassVar

from openpns.errors.base import OpenPNSError


class WireError(OpenPNSError):
    """A response with a code other than 0.

    Attributes that only a client knows are None on a server: request_id, action, answer, hint.

    Args:
        detail: What was wrong and what is allowed; follows the code's own text after ": ".

    Attributes:
        server_time: The server's clock in the response, in UTC, to the second; None if unknown.
        answer: The whole envelope as received: unlike the texts of the error, it can contain
            control characters.
        hint: What the client adds to the server's message.
        data: On a server: what the response has as `data`; None for nothing.
    """

    code: int
    is_recorded: ClassVar[bool] = False
    """Whether a refusal by the steps of a write with an idempotency key is recorded: it depends on
    the state, so that the same request could succeed later, or has succeeded before."""
    text: ClassVar[str]
    """How `msg` begins; it never changes for a code."""
    advice: ClassVar[str]
    http_status: int = 200
    retry_after_s: float | None = None
    request_id: str | None = None
    action: str | None = None
    server_time: datetime | None = None
    answer: dict[str, Any] | None = None
    hint: str | None = None
    data: Any = None

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        self.msg = f"{self.text}: {detail}" if detail else self.text
        super().__init__(self.msg)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled by what `__init__` takes."""
        return type(self), (self.detail,), vars(self)

    def __str__(self) -> str:
        """Return the message; on a client, with what a support ticket needs."""
        if self.action is None:
            return self.msg
        ids = f"[{self.action}, code {self.code}, requestId {self.request_id}]"
        return f"{self.msg} {ids}; {self.hint}" if self.hint else f"{self.msg} {ids}"


class MissingHeaders(WireError):
    """A required header is missing or empty; the text names every missing one."""

    code, text = 1001, "Missing common parameters"
    advice = "Send every header that the text names."


class ParameterError(WireError):
    """A header or something in the body is wrong; the text says what is allowed."""

    code, text = 1002, "Parameter error"
    advice = "Read the text after the colon and correct the request; unchanged, it fails again."


class ParameterUnfit(ParameterError):
    """A field is well formed, but does not fit what is stored."""

    is_recorded = True


class PathNotFound(ParameterError):
    """The path is not the API's."""

    http_status = 404


class MethodNotAllowed(ParameterError):
    """The method is not POST."""

    http_status = 405


class BodyTooLarge(ParameterError):
    """The body has more bytes than the server takes."""

    http_status = 413


class InvalidSignature(WireError):
    """`sign` does not match the headers, the body as it arrived, and the key's secret."""

    code, text = 1003, "Invalid signature"
    advice = (
        "Sign exactly the bytes that you send; see [typical mistakes]"
        "(api/signing.md#typical-mistakes)."
    )
    exit_code = 4


class TimestampExpired(WireError):
    """`ts` is not a number of ms, or more than 60 000 ms away from the server's clock."""

    code, text = 1004, "Timestamp has expired"
    advice = "Synchronise the clock with a time server; create `ts` just before sending."
    exit_code = 4


class PermissionDenied(WireError):
    """The access key is unknown, disabled or expired, or its customer is disabled.

    Or the key may not do this: it is read-only, or restricted to other actions or to other
    addresses. Then the text says so.
    """

    code, text = 1005, "Insufficient permissions"
    advice = "Ask the operator: `openpns keys list` and `openpns customers list` show the state."
    exit_code = 4


class EmptyPhone(WireError):
    """`phoneA`, or a `phoneB` that is required, is missing or empty."""

    code, text = 10001, "Empty binding number"
    is_recorded = True
    advice = "Send both phones."
    exit_code = 5


class SamePhone(WireError):
    """`phoneA` and `phoneB` are the same phone."""

    code, text = 10002, "Same binding number"
    is_recorded = True
    advice = "Bind two different phones."
    exit_code = 5


class CountryMismatch(WireError):
    """A phone of the binding has not the country code of the virtual number."""

    code, text = 10004, "Different prefix for binding numbers"
    is_recorded = True
    advice = "Bind phones of one country on a virtual number of that country."
    exit_code = 5


class DidWithoutCountry(WireError):
    """The virtual number does not begin with an assigned country code."""

    code, text = 10007, "Virtual number without prefix"
    advice = "Send the virtual number with its country code."
    exit_code = 5


class NoVirtualNumber(WireError):
    """The customer has no such virtual number, or none of this country, or it is disabled."""

    code, text = 10008, "User has no virtual number"
    is_recorded = True
    advice = "listNumbers shows your virtual numbers; ask the operator for more."
    exit_code = 3


class ReadFailed(WireError):
    """The database is reachable, but the stored data cannot be read."""

    code, text = 10009, "Failed to retrieve data"
    advice = "Report the `requestId` to the operator: the database may be damaged."
    exit_code = 6


class PoolExhausted(WireError):
    """No virtual number can take the binding, or the given one takes no more.

    The text says whether all are full, or only taken for these two phones.
    """

    code, text = 10010, "Virtual number exhausted"
    is_recorded = True
    advice = "End bindings that are over, or ask the operator for more virtual numbers."
    exit_code = 5


class LimitOutOfRange(WireError):
    """`limit` is an integer outside [0, 1000], for phones outside [0, 10 000]."""

    code, text = 10011, "Incorrect list page capacity"
    advice = "Ask for 1 to 1000 entries, or 0 for 1000; for up to 10 000 phones."
    exit_code = 5


class OffsetOutOfRange(WireError):
    """`offset` is an integer outside [0, 2^63 − 1]."""

    code, text = 10012, "Incorrect list page starting point"
    advice = "Begin at 0 and continue by the number of entries received."
    exit_code = 5


class BindingNotFound(WireError):
    """There is no such live binding, whether it ended, never existed or is another customer's.

    Only queryAXB may add `data` to it: the audio to play, if one is set for failed calls.
    """

    code, text = 10013, "binding not exist"
    is_recorded = True
    advice = "getAXBList shows the live bindings; explainCall says why a call has none."
    exit_code = 3
    # From the `data` of queryAXB, on a client only: the id of the question, and URLs of WAV files,
    # None for the switch's own tone.
    call_id: str | None = None
    audio_when_call_fails: str | None = None
    audio_for_wrong_digits: str | None = None
    audio_that_asks_for_digits: str | None = None


class GroupNotFound(WireError):
    """The customer has no group with this `groupId`, whether or not another customer has."""

    code, text = 19001, "Number group does not exist"
    is_recorded = True
    advice = "Use a `groupId` from createGroup or listGroup."
    exit_code = 3


class GroupFull(WireError):
    """The change would exceed the maximum of phones in a group; nothing was changed."""

    code, text = 19002, "Number group is full"
    is_recorded = True
    advice = "Remove phones first, or create another group."
    exit_code = 5


class RateLimited(WireError):
    """The rate limit of the access key or of its customer is exceeded. Nothing was done."""

    code, text = 19003, "Too many requests"
    advice = "Send it again after the seconds in `Retry-After`."
    exit_code = 5


class ServiceUnavailable(WireError):
    """The database is unavailable or the server is overloaded. Nothing was written."""

    code, text = 19004, "Service unavailable"
    advice = "Send it again after the seconds in `Retry-After`."
    exit_code = 6
    http_status = 503
    retry_after_s = 1.0


class Overloaded(ServiceUnavailable):
    """The server is overloaded. Nothing was written."""


class InternalError(WireError):
    """A bug. Nothing was written; the server's log has the request id."""

    code, text = 19005, "Internal error"
    advice = "Report the `requestId` to the operator."
    exit_code = 6
    http_status = 500


class OutcomeUnknown(WireError):
    """The storage was lost during a commit: the change was written completely or not at all."""

    code, text = 19006, "Outcome unknown"
    advice = "Read, or send it again with its clientToken."
    exit_code = 6
    http_status = 503


class ClientTokenReused(WireError):
    """`clientToken` was sent with another body of this action in the last 24 hours.

    Or another report of the call is stored. Nothing was written.
    """

    code, text = 19007, "Client token reused"
    advice = "Use a new clientToken for each write; getCallRecord shows the stored record."


class BindingConflict(WireError):
    """A phone, or the digits, have a live binding on this virtual number already.

    The text names the field, never the phone. Nothing was changed.
    """

    code, text = 19008, "Binding conflict"
    is_recorded = True
    advice = "End the other binding, or bind without `phoneX`, which takes another virtual number."
    exit_code = 5


class CustomerBindIdInUse(WireError):
    """A live binding has this `customerBindId`, and was made by a request with another body."""

    code, text = 19009, "customerBindId in use"
    is_recorded = True
    advice = "Use a new customerBindId for each binding, or end the binding first."
    exit_code = 5


class GroupBound(WireError):
    """The group has live bindings, so that it cannot be deleted; the text says how many."""

    code, text = 19010, "Number group is bound"
    is_recorded = True
    advice = "End its bindings first: getAXBList with `groupId` shows them."
    exit_code = 5


class NotFound(WireError):
    """The customer has no such virtual number, record or delivery."""

    code, text = 19011, "Not found"
    is_recorded = True
    advice = "The list actions show what there is."
    exit_code = 3


class QuotaExceeded(WireError):
    """The change would exceed a quota of the customer, such as that of groups or call records.

    Nothing was changed.
    """

    code, text = 19012, "Quota exceeded"
    is_recorded = True
    advice = (
        "getLimits shows the quotas. Delete groups or phones, end bindings, or ask the operator."
    )
    exit_code = 5


class NonceReused(WireError):
    """`nonce` was sent with another write of this access key in the last two minutes.

    Nothing was written.
    """

    code, text = 19013, "Nonce already used"
    advice = "Use a new random nonce for each request."


class UnknownCode(WireError):
    """The server is not openpns, or a newer version of it; `answer` is the whole envelope."""

    text = ""
    advice = "See the documentation of that server."


WIRE_ERRORS: dict[int, type[WireError]] = {
    error.code: error for error in WireError.__subclasses__() if error is not UnknownCode
}
"""The class of each code that this version can answer with."""
