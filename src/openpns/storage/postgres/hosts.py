"""Connect to the primary, whichever host of a PostgreSQL URL that is."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg

from openpns.errors import ConfigError

_ATTRIBUTE: Final = "target_session_attrs"
_ALLOWED: Final = ("primary", "read-write")


class Hosts:
    """The hosts of a URL, the last known primary first.

    A standby is never used, not even for reads, because it may lag behind.

    Args:
        url: `postgresql://user:password@host1:port1,host2:port2/name`.

    Raises:
        ConfigError: The URL asks for a standby.
        ValueError: It is not a URL.
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
                "may lag behind, and no response may be older than its request"
            )

    async def connect(self, _: object, *, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109
        """Connect to the primary; the pool calls this for each connection that it opens.

        Args:
            timeout: How long it may take in all, in seconds. The hosts share it, so that one that
                does not answer leaves time for those after it; the driver's own search does not.

        Raises:
            OSError: No host can be reached.
            asyncpg.PostgresError: A server refuses.
            asyncpg.TargetServerAttributeNotMatched: None of them is the primary.
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
