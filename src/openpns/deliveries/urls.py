"""The URL of a webhook: what is allowed. The parser is that of the HTTP client, and no other."""

import ipaddress
import re
from typing import Final

import httpx2

from openpns import limits
from openpns.errors import ConfigError

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)
_NAME_CHARS_MAX: Final = 253
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)
"""A host that a resolver may read as an IPv4 address: its last part is a number."""
_PORT_MAX: Final = 65_535
_ALLOWED: Final = "allowed is a URL such as https://example.com/hook"


def parse_url(text: str, *, http_allowed: bool) -> httpx2.URL:
    """Return the URL of a webhook.

    Raises:
        ConfigError: It is not allowed. The text says why; it never repeats the URL, which may
            contain a secret.
    """
    problem = None
    if len(text) > limits.WEBHOOK_URL_CHARS_MAX:
        problem = f"has more than {limits.WEBHOOK_URL_CHARS_MAX} characters"
    elif any(char.isspace() or not char.isprintable() for char in text):
        problem = "has a space or a control character"
    elif "\\" in text:
        problem = "has a backslash, which programs read differently"
    else:
        try:
            url = httpx2.URL(text)
        except (httpx2.InvalidURL, ValueError):
            problem = "is not a URL"
    problem = problem or _problem_of(url, http_allowed=http_allowed)
    if problem is not None:
        raise ConfigError(f"url: {problem}; {_ALLOWED}")
    return url


def shown(text: str) -> str:
    """Return a URL without what may be secret in it: user, query and fragment."""
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        return "…"
    tail = "?…" if url.query else ""
    return f"{url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'}{url.path}{tail}"


def _problem_of(url: httpx2.URL, *, http_allowed: bool) -> str | None:
    if url.scheme not in (("http", "https") if http_allowed else ("https",)):
        what = "http or https" if http_allowed else "https (webhook_http_allowed allows http)"
        return f"its scheme must be {what}"
    if url.userinfo:
        return "must have no user and password"
    if url.fragment:
        return "must have no fragment"
    if url.port is not None and not 0 < url.port <= _PORT_MAX:
        return f"its port must be from 1 to {_PORT_MAX}"
    return _problem_of_host(url.raw_host.decode("ascii", "replace"))


def _problem_of_host(host: str) -> str | None:
    if "%" in host and ":" in host:
        return "its host must have no zone"
    if ":" in host or _NUMBER.fullmatch(host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return "its host is a number, but not an IP address of the usual form"
        return None
    if host.endswith("."):
        return "its host must not end with a dot"
    if len(host) > _NAME_CHARS_MAX or not _NAME.fullmatch(host):
        return "its host is neither a name nor an IP address"
    return None
