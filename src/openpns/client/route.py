"""The way to a server as the environment describes it: the proxy, and the trusted certificates."""

import os
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.request import getproxies

import httpx2

from openpns import __version__
from openpns.errors import ConfigError
from openpns.kit.plain_text import brief

_HEADERS: Final = {
    "User-Agent": f"openpns/{__version__} httpx2/{httpx2.__version__}",
    "Accept-Encoding": "identity",
}
_PORTS: Final = {"http": 80, "https": 443}
_PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
_PORT_MAX: Final = 65_535
_SHOWN_CHARS_MAX: Final = 20


def parse_url(url: str) -> httpx2.URL:
    """Return the URL of a `ClientConfig` as httpx2 needs it.

    Raises:
        ConfigError: httpx2 cannot use it.
    """
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL as error:
        problem = str(error)
    raise ConfigError(f"base_url: {problem}")


def http_options(url: httpx2.URL | None) -> dict[str, Any]:
    """Return the options of an httpx2 client that sends requests to a URL; None for any transport.

    No compression and no cookies. Proxy and certificates are chosen here, because httpx2 fails on
    each wrong proxy of the environment, also on those that no request would use.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    options: dict[str, Any] = {"headers": _HEADERS, "cookies": no_cookies, "trust_env": False}
    if url is None:
        return options
    proxy = find_proxy(url)
    is_encrypted = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
    # Without TLS no certificate is read; a context without certificates accepts no server.
    context = tls_context() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if proxy is not None and proxy.url.scheme == "https":
        proxy.ssl_context = context
    return options | {"verify": context, "proxy": proxy}


def tls_context() -> ssl.SSLContext:
    """Return a TLS context with the certificates of SSL_CERT_FILE, SSL_CERT_DIR or the system.

    Raises:
        ConfigError: They cannot be read; the text names the variable.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    try:
        if folder and not file:
            list(Path(folder).iterdir())  # OpenSSL ignores a folder that it cannot read
        return httpx2.create_ssl_context()
    except ssl.SSLError:
        problem = "it contains no certificates in the format PEM"
    except (OSError, ValueError) as error:
        problem = f"cannot read it ({getattr(error, 'strerror', None) or type(error).__name__})"
    name = "SSL_CERT_FILE" if file else "SSL_CERT_DIR" if folder else "the system's certificates"
    raise ConfigError(f"{name}: {problem}")


def find_proxy(url: httpx2.URL) -> httpx2.Proxy | None:
    """Return the proxy that the environment names for a URL; None for none.

    Raises:
        ConfigError: It cannot be used; the text names the variable, and never a password.
    """
    proxies = getproxies()
    name = url.scheme if proxies.get(url.scheme) else "all"
    found = proxies.get(name)
    if not found or _needs_no_proxy(url, proxies.get("no", "")):
        return None
    found = found if "://" in found else f"http://{found}"
    problem = _problem(found)
    if problem is None:
        return httpx2.Proxy(found)
    raise ConfigError(
        f"{_variable(name)}: {problem}; correct it, or set NO_PROXY={url.host} to use no proxy"
    )


def _problem(proxy: str) -> str | None:
    scheme = proxy.partition("://")[0].lower()
    if scheme not in _PROXY_SCHEMES:
        shown = brief(scheme, _SHOWN_CHARS_MAX)
        return f"{shown}:// is no kind of proxy; allowed are {', '.join(_PROXY_SCHEMES)}"
    if scheme.startswith("socks") and find_spec("socksio") is None:
        return "a SOCKS proxy needs the package socksio (pip install socksio)"
    try:
        url = httpx2.URL(proxy)
        has_address = bool(url.host) and (url.port or 1) <= _PORT_MAX
    except httpx2.InvalidURL:
        has_address = False
    return None if has_address else "it is not a URL such as http://proxy.example.com:3128"


def _variable(name: str) -> str:
    """Return the variable that sets a proxy; the one in lower case counts if both are set."""
    names = (f"{name}_proxy", f"{name.upper()}_PROXY")
    return next((name for name in names if os.environ.get(name)), f"the system's {name} proxy")


def _needs_no_proxy(url: httpx2.URL, no_proxy: str) -> bool:
    """Return whether a NO_PROXY has an entry that matches a URL."""
    return any(_matches(entry.strip().lower(), url) for entry in no_proxy.split(","))


def _matches(entry: str, url: httpx2.URL) -> bool:
    """Return whether an entry of NO_PROXY matches: a host, a domain, an address, a network, `*`.

    A domain matches itself and the hosts below it; with a dot or `*.` before it, only those. A
    scheme before an entry, and a port behind it, must match too.
    """
    scheme, found, rest = entry.rpartition("://")
    if found and scheme not in ("all", url.scheme):
        return False
    if rest == "*":
        return True
    host = url.host.lower()
    if not rest.startswith("[") and rest.count(":") > 1:  # an IPv6 address without brackets
        name, port = rest, ""
    else:
        name, _, port = rest.removeprefix("[").partition("]:" if "[" in rest else ":")
        name = name.removesuffix("]")
    if not name or (port and port != str(url.port or _PORTS.get(url.scheme))):
        return False
    if name[0] in ".*":
        return host.endswith("." + name.removeprefix("*").removeprefix("."))
    try:
        return ip_address(host) in ip_network(name, strict=False)
    except ValueError:
        return host == name or (name != "localhost" and host.endswith(f".{name}"))
