"""Which of a PostgreSQL URL's hosts to connect to: the primary, whichever it is just now."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from openpns.errors import ConfigError

_ATTRIBUTE: Final = "target_session_attrs"
_ALLOWED: Final = ("primary", "read-write")


class Hosts:
    """The hosts of a URL, the one that was the primary last before the others.

    A standby is never used, not even for reads: it may lag behind.

    Args:
        url: `postgresql://user:password@host1:port1,host2:port2/name`.

    Raises:
        ConfigError: The URL asks for a standby.
        ValueError: It is no URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        self._urls = [
            urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")
        ]
        self._attribute = parse_qs(parts.query).get(_ATTRIBUTE, [_ALLOWED[0]])[-1]
        if self._attribute not in _ALLOWED:
            raise ConfigError(
                f"database: {_ATTRIBUTE} of the URL may be {' or '.join(_ALLOWED)}; a standby "
                "may lag behind, and no answer may be older than its call"
            )

    async def connect(self, _: object, *, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109
        """Connect to the primary; the pool calls this for each connection that it opens.

        Args:
            timeout: How long it may take in all, in seconds. The hosts share it: to the driver's
                own search, one that does not answer at all would hide those behind it.
            options: The driver's own.

        Raises:
            OSError: No host can be reached.
            asyncpg.PostgresError: A server refuses.
            asyncpg.TargetServerAttributeNotMatched: There is no primary among them.
        """
        failure: Exception | None = None
        for url in tuple(self._urls):
            try:
                made = await asyncpg.connect(
                    url,
                    timeout=timeout / len(self._urls),
                    target_session_attrs=self._attribute,
                    **options,
                )
            except (OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                failure = error
            else:
                self._urls.sort(key=lambda other: other != url)
                return made
        assert failure is not None
        raise failure
