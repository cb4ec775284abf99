"""The emulator's state as JSON: customers with keys, groups, virtual numbers, bindings, webhooks.

Source: docs/testing.md, "State files"; the same format as `given` in contract/groups.json.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from openpns.errors import ConfigError

SOURCE: Final = "state"
"""The name of a state without a file in error texts."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The base of every part; an unknown field is an error, because it may be a typing mistake."""


class KeyState(_Part, frozen=True, omit_defaults=True):
    """An access key."""

    access_key: str
    access_secret: str
    expires_ms: int | None = None
    disabled: bool = False
    read_only: bool = False
    unique_ts: bool = False
    hmac_only: bool = False
    allowed_addresses: list[str] | None = None
    allowed_actions: list[str] | None = None

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"KeyState(access_key={self.access_key!r})"


class GroupState(_Part, frozen=True):
    """A number group; an empty id or name gets the value that createGroup gives it."""

    group_id: str = ""
    group_name: str = ""
    phones: str = ""
    remark: str = ""

    def __repr__(self) -> str:
        """Return a text without phone numbers."""
        return f"GroupState(group_id={self.group_id!r}, group_name={self.group_name!r})"


class NumberState(_Part, frozen=True, omit_defaults=True):
    """A virtual number; an audio is a URL, null for the customer's, empty for the own tone."""

    did: str
    business_id: str = "default"
    state: Literal["active", "draining", "disabled"] = "active"
    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None


class BindingState(_Part, frozen=True, omit_defaults=True):
    """A live binding; an empty bindId gets a random one.

    `did` is the virtual number, and `expire_at` the end in s since 1970, 0 for never.
    """

    kind: Literal["axb", "extension", "axg"]
    did: str
    phone_a: str
    phone_b: str = ""
    extension: str = ""
    group_id: str = ""
    bind_id: str = ""
    customer_bind_id: str = ""
    flag: int = 0
    expire_at: int = 0

    def __repr__(self) -> str:
        """Return a text without phone numbers."""
        return f"BindingState(bind_id={self.bind_id!r})"


class WebhookState(_Part, frozen=True, omit_defaults=True):
    """A webhook; an empty secret gets a random one.

    `kinds` are all if null; the secret before the last rotation is in force until
    `previous_until_ms`.
    """

    url: str
    secret: str = ""
    kinds: list[str] | None = None
    state: Literal["active", "disabled", "gone"] = "active"
    previous_secret: str | None = None
    previous_until_ms: int = 0

    def __repr__(self) -> str:
        """Return a text without the secrets and the URL, which may hold one."""
        return f"WebhookState(state={self.state!r})"


class CustomerState(_Part, frozen=True, omit_defaults=True):
    """A customer, its keys, groups, virtual numbers and bindings, oldest first, and its webhook.

    An audio of a customer is that of its virtual numbers without one of their own.
    """

    customer_id: str
    name: str = ""
    disabled: bool = False
    access_keys: list[KeyState] = []
    groups: list[GroupState] = []
    numbers: list[NumberState] = []
    bindings: list[BindingState] = []
    audio_when_call_fail: str | None = None
    audio_when_dtmf_err: str | None = None
    audio_when_dtmf_need: str | None = None
    webhook: WebhookState | None = None


class State(_Part, frozen=True):
    """What an emulator stores, without calls and deliveries."""

    customers: list[CustomerState] = []


def read_file(file: Path) -> State:
    """Read a state file.

    Raises:
        ConfigError: It cannot be read or is not a state; the text names the place.
    """
    try:
        values = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the state ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{file}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
        ) from None
    except (UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{file}: not JSON in UTF-8") from None
    return parse(values, str(file))


def parse(values: Mapping[str, Any], source: str = SOURCE) -> State:
    """Return the state that decoded JSON holds.

    Raises:
        ConfigError: It is not a state; the text names `source` and the place.
    """
    try:
        return msgspec.convert(values, State)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        raise ConfigError(f"{source}: {place.rstrip('`') or '$'}: {what}") from None


def to_text(values: Mapping[str, Any]) -> str:
    """Return the text of a state file for what `Emulator.dump` returned."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
