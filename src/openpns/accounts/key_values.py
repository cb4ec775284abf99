"""What the operator may give an access key: its name, secret, end, rate and lists.

Every function raises ConfigError for a value that is not allowed.
"""

import re
from collections.abc import Sequence
from typing import Final

from openpns import limits
from openpns.accounts.customers import check_label
from openpns.errors import ConfigError
from openpns.kit.networks import Networks

_ACCESS_KEY: Final = re.compile(
    rf"[A-Za-z0-9_-]{{{limits.ACCESS_KEY_CHARS_MIN},{limits.ACCESS_KEY_CHARS_MAX}}}", re.ASCII
)
# Printable ASCII without the space: white space at the end of a secret is the classic mistake.
_ACCESS_SECRET: Final = re.compile(
    rf"[!-~]{{{limits.ACCESS_SECRET_CHARS_MIN},{limits.ACCESS_SECRET_CHARS_MAX}}}", re.ASCII
)
_ACTION: Final = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


def check(
    access_key: str, access_secret: str, label: str, expires_ms: int | None, now_ms: int
) -> None:
    """Check an access key, its secret, label and end; the error does not show the secret."""
    if not _ACCESS_KEY.fullmatch(access_key):
        raise ConfigError(
            f"access key {access_key!r}: allowed are {limits.ACCESS_KEY_CHARS_MIN} to "
            f"{limits.ACCESS_KEY_CHARS_MAX} letters, digits, _ and -"
        )
    if not _ACCESS_SECRET.fullmatch(access_secret):
        raise ConfigError(
            f"access secret: allowed are {limits.ACCESS_SECRET_CHARS_MIN} to "
            f"{limits.ACCESS_SECRET_CHARS_MAX} printable ASCII characters without spaces"
        )
    check_label("label", label, limits.LABEL_CHARS_MAX)
    check_expires(expires_ms, now_ms)


def check_expires(expires_ms: int | None, now_ms: int) -> None:
    """Check that a key expires in the future or never."""
    if expires_ms is not None and expires_ms <= now_ms:
        raise ConfigError("expires: allowed is a time in the future")


def check_rate(per_s: int | None, burst: int | None) -> None:
    """Check a rate and its burst."""
    if per_s is not None and not 0 <= per_s <= limits.RATE_MAX:
        raise ConfigError(
            f"rate per second: allowed are 0 to {limits.RATE_MAX}; 0 for any number of requests"
        )
    if burst is None:
        return
    if not per_s:
        raise ConfigError("rate burst: allowed only with a rate per second above 0")
    if not 1 <= burst <= limits.RATE_MAX:
        raise ConfigError(f"rate burst: allowed are 1 to {limits.RATE_MAX}")


def addresses_text(addresses: Sequence[str] | None) -> str | None:
    """Return addresses and networks as they are stored; None for any address."""
    if addresses is None:
        return None
    try:
        networks = Networks(",".join(addresses))
    except ValueError as error:
        raise ConfigError(f"addresses: {error}") from None
    if not 1 <= len(networks) <= limits.KEY_ADDRESSES_MAX:
        raise ConfigError(
            f"addresses: allowed are 1 to {limits.KEY_ADDRESSES_MAX} addresses and networks"
        )
    return str(networks)


def actions_text(actions: Sequence[str] | None) -> str | None:
    """Return actions as they are stored; None for every action.

    Whether they exist is not checked: which actions there are is not known here.
    """
    if actions is None:
        return None
    names = [*dict.fromkeys(actions)]
    if not 1 <= len(names) <= limits.KEY_ACTIONS_MAX or not all(map(_ACTION.fullmatch, names)):
        raise ConfigError(f"actions: allowed are 1 to {limits.KEY_ACTIONS_MAX} names of actions")
    return ",".join(names)
