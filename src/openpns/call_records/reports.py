"""A report of a call with its fields checked and normalised."""

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from openpns import limits
from openpns.call_records.causes import Cause, find_cause
from openpns.call_records.wire import CALLEE
from openpns.core.idempotency import digest
from openpns.errors import ParameterError
from openpns.numbers.service import parse_did
from openpns.phones import find_country_code

_CALL_ID: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_CALLER: Final = re.compile(rf"\+?([0-9]{{1,{limits.PHONE_DIGITS_MAX}}})", re.ASCII)
_URL: Final = re.compile(r"[!-~]+", re.ASCII)


class Report(msgspec.Struct, frozen=True):
    """What a report says; an empty text is a missing one, an `answer_s` of 0 no answer."""

    call_id: str
    start_s: int
    answer_s: int
    hangup_s: int
    hangup_code: int
    hangup_cause: str
    hangup: int
    record_file: str
    caller: str
    did: str
    bind_id: str

    def __repr__(self) -> str:  # without the phones and the URL
        return f"Report({self.call_id!r})"

    @property
    def cause(self) -> Cause:
        """What the name of its cause says."""
        return find_cause(self.hangup_cause)

    def payload(self) -> dict[str, Any]:
        """Return the normalised fields by their names on the wire."""
        sent = {"caller": self.caller, "did": self.did, "bindId": self.bind_id}
        return self._facts() | {name: value or None for name, value in sent.items()}

    def body_digest(self) -> str:
        """Return a digest of what the call was, without what its question says already."""
        return digest(self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "callId": self.call_id,
            "startAt": self.start_s,
            "answerAt": self.answer_s,
            "hangupAt": self.hangup_s,
            "hangupCode": self.hangup_code,
            "hangupCause": self.hangup_cause,
            "hangup": self.hangup,
            "recordFile": self.record_file,
        }


def make_report(
    *,
    call_id: str,
    start_at: int,
    hangup_at: int,
    answer_at: int | None,
    hangup_code: int | None,
    hangup_cause: str | None,
    hangup: int | None,
    record_file: str | None,
    caller: str | None,
    did: str | None,
    bind_id: str | None,
) -> Report:
    """Return a report; a call that the platform ended counts as ended by the callee.

    Raises:
        ParameterError: A field is malformed, or the times are not in order.
        DidWithoutCountry: did begins with no assigned country code.
    """
    name = (hangup_cause or "").strip()
    cause = find_cause(name)
    answer_s = answer_at or 0
    if cause.is_platform:
        hangup = CALLEE
    check_call_id(call_id)
    if start_at > hangup_at:
        raise ParameterError("hangupAt must not be before startAt")
    if answer_s and not start_at <= answer_s <= hangup_at:
        raise ParameterError("answerAt must be 0, or from startAt to hangupAt")
    return Report(
        call_id,
        start_at,
        answer_s,
        hangup_at,
        cause.code if hangup_code is None else hangup_code,
        name,
        cause.hangup if hangup is None else hangup,
        _parse_url(record_file or ""),
        _parse_caller(caller) if caller else "",
        parse_did(did, "did") if did else "",
        bind_id or "",
    )


def check_call_id(call_id: str) -> None:
    """Raise ParameterError if a callId is malformed."""
    if not _CALL_ID.fullmatch(call_id):
        raise ParameterError("callId must be 1 to 20 digits, as text")


def spellings(phone: str, did: str) -> tuple[str, str]:
    """Return a caller as it was given, and with the country code of a virtual number in front."""
    return phone, find_country_code(did) + phone.lstrip("0")


def is_same_phone(one: str, other: str, did: str) -> bool:
    """Return whether two spellings of callers of a virtual number may be the same phone."""
    return not {*spellings(one, did)}.isdisjoint(spellings(other, did))


def _parse_caller(caller: str) -> str:
    match = _CALLER.fullmatch(caller.strip())
    if match is None:
        raise ParameterError(
            f"caller must be a phone number: 1 to {limits.PHONE_DIGITS_MAX} digits, as text"
        )
    return match[1]


def _parse_url(url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url) if _URL.fullmatch(url) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(
            "recordFile must be empty, or a URL that begins with http:// or https://, in ASCII "
            "and without spaces"
        )
    return url
