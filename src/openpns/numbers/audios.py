"""The operator's commands on audios: WAV files that a switch plays to a caller.

A virtual number's own audio comes before that of its customer. An empty URL is the engine's own
tone.

Source: docs/operating/numbers.md, "Audios"; docs/decisions/0042-audios.md.
"""

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from openpns import limits
from openpns.accounts import customers
from openpns.accounts.customers import Customer
from openpns.core.commit import OperatorEffect, commit_as_operator
from openpns.errors import ConfigError
from openpns.numbers.service import StoredNumber, as_stored, lock_in_use, parse_as_operator
from openpns.phones import mask_phone
from openpns.storage.store import Statement, Store, Transaction

OF_CUSTOMER: Final = ""
"""The virtual number of the audios of a whole customer."""

_URL: Final = re.compile(r"[!-~]+", re.ASCII)


class Audios(msgspec.Struct, frozen=True, rename="camel"):
    """URLs of WAV files; None for the customer's, of a customer for the engine's own tone.

    Attributes:
        audio_when_call_fail: Played if nobody is called.
        audio_when_dtmf_err: Played for wrong digits.
        audio_when_dtmf_need: Asks for digits.
    """

    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None


async def set_for_number(store: Store, did: str, audios: Audios) -> StoredNumber:
    """Give a virtual number these audios, in place of those that it had; return it.

    Raises:
        ConfigError: No customer has it, it rests, or a URL is not allowed.
    """
    check(audios)
    did = parse_as_operator(did)

    def steps() -> Transaction[OperatorEffect[StoredNumber]]:
        stored = yield from lock_in_use(did)
        yield _put(stored.customer_id, did, audios)
        found = yield Statement("number_find", {"did": did})
        details = {"number": mask_phone(did), **_shown(audios)}
        return OperatorEffect(as_stored(did, found[0]), stored.customer_id, details=details)

    return await commit_as_operator(store, "numbers.setAudio", steps)


async def set_for_customer(store: Store, customer_id: str, audios: Audios) -> Customer:
    """Give a customer these audios, in place of those that it had; return it.

    Raises:
        ConfigError: The customer does not exist, or a URL is not allowed.
    """
    check(audios)

    def steps() -> Transaction[OperatorEffect[None]]:
        yield from customers.must_exist(customer_id)
        yield _put(customer_id, OF_CUSTOMER, audios)
        return OperatorEffect(None, customer_id, details=_shown(audios))

    await commit_as_operator(store, "customers.setAudio", steps)
    return await customers.get(store, customer_id)


def check(audios: Audios) -> None:
    """Raise ConfigError if a URL is not allowed; the text names the audio."""
    for name, url in _named(audios).items():
        problem = find_problem(url) if url else None
        if problem is not None:
            raise ConfigError(f"{name}: {problem}")


def find_problem(url: str) -> str | None:
    """Return what is wrong with the URL of an audio, and what is allowed; None if nothing is."""
    if len(url) > limits.AUDIO_URL_CHARS_MAX:
        return f"the URL is too long; allowed are {limits.AUDIO_URL_CHARS_MAX} characters"
    if not _URL.fullmatch(url):
        return "allowed are printable ASCII characters without spaces; write others as %XX"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "not a URL; allowed is one such as https://example.com/busy.wav"
    if parts.scheme not in ("http", "https") or not has_host:
        return "allowed is a URL that begins with http:// or https:// and a host"
    if "@" in parts.netloc:
        return "the URL must not have a user or a password: whoever asks who is called gets it"
    return None


def _put(customer_id: str, did: str, audios: Audios) -> Statement:
    number = {"customer_id": customer_id, "did": did}
    if all(url is None for url in _named(audios).values()):
        return Statement("audio_delete", number)
    return Statement("audio_put", number | msgspec.structs.asdict(audios))


def _shown(audios: Audios) -> dict[str, Any]:
    """Return the details of the audit entry: URLs without what may be a secret in their query."""
    return {
        name: url if url is None else url.partition("?")[0] for name, url in _named(audios).items()
    }


def _named(audios: Audios) -> dict[str, str | None]:
    named: dict[str, str | None] = msgspec.to_builtins(audios)
    return named
