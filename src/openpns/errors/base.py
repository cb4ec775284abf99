"""The root of the errors, and those without a code: of settings and of clients."""

from datetime import datetime
from typing import ClassVar


class OpenPNSError(Exception):
    """The root of every error that openpns raises on purpose."""

    exit_code: ClassVar[int] = 1
    """The exit code of a command that this error stopped. Source: docs/cli.md."""


class ConfigError(OpenPNSError):
    """A setting, an argument or a key file is wrong; the text names it and what is allowed."""

    exit_code = 2


class EntryNotFound(ConfigError):
    """A command names a customer, an access key, a webhook or a number that does not exist."""

    exit_code = 3


class DatabaseUnavailable(ConfigError):
    """The database of a command cannot be reached, or accepts no connection now."""

    exit_code = 6


class ClientClosed(OpenPNSError):
    """The client was closed; nothing more is sent with it."""

    def __init__(
        self, msg: str = "the client is closed; make a new one, or close it later"
    ) -> None:
        super().__init__(msg)


class TransportError(OpenPNSError):
    """There was no response, or not one of this API. Only clients see it.

    It has the attributes of `WireError`, so that both can be logged alike. Unknown ones are None.
    """

    code: None = None
    exit_code = 6
    advice: ClassVar[str]
    """What to do about it: the sentence of docs/errors.md."""

    def __init__(
        self,
        action: str,
        msg: str,
        *,
        http_status: int | None = None,
        server_time: datetime | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        self.action = action
        self.msg = msg
        self.http_status = http_status
        self.server_time = server_time
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        super().__init__(action, msg)  # what pickle hands to __init__

    def __str__(self) -> str:
        return f"{self.action}: {self.msg}"


class ConnectFailed(TransportError):
    """The server could not be reached; the request was not sent."""

    advice = "Check `base_url`, the network and the proxy. Every request may be sent again."


class ConnectionLost(TransportError):
    """The connection broke; a write may or may not have been carried out."""

    advice = (
        "A write: read, then decide, or send it again with its clientToken. A read: send it again."
    )


class AnswerTooLate(TransportError):
    """No response arrived in time; a write may or may not have been carried out."""

    advice = (
        "As for `ConnectionLost`; raise `timeout_s` or `deadline_s` if responses are large or slow."
    )


class AnswerUnreadable(TransportError):
    """The response is not of this API; a write may or may not have been carried out."""

    advice = "Check `base_url` and any proxy in between; see `http_status`."


class AnswerTooLarge(AnswerUnreadable):
    """The response is too large; a write may or may not have been carried out."""

    advice = "Ask for smaller pages, or raise `response_bytes_max`."
