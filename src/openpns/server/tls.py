"""TLS by setting: the server's certificate, loaded at the start and again on SIGHUP."""

import ssl

from openpns.core import logs
from openpns.errors import ConfigError
from openpns.kit.private_file import check_private
from openpns.server.settings import Settings


def load(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for the settings' certificate; None for plain HTTP.

    Raises:
        ConfigError: A file cannot be read, others can read the key, or certificate and key do not
            fit; the text names the setting or the file.
    """
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_files(context, settings)
    return context


def reload(context: ssl.SSLContext, settings: Settings) -> None:
    """Load the files again for connections from now on; keep the old ones if that fails."""
    try:
        # Into another context first: a failure half-way must not leave the first one without a key.
        _load_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)
        _load_files(context, settings)
    except ConfigError as error:
        logs.logger().error("certificate not reloaded", why=str(error))
    else:
        logs.logger().info("certificate reloaded")


def _load_files(context: ssl.SSLContext, settings: Settings) -> None:
    if settings.tls_cert is None or settings.tls_key is None:
        raise ConfigError("tls_cert, tls_key: set both, or neither for plain HTTP")
    for name, path in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        try:
            with open(path, "rb") as opened:  # noqa: PTH123 - only to see that it can be read
                if name == "tls_key":
                    check_private(path, opened.fileno(), "a private key")
        except OSError as error:
            raise ConfigError(f"{name}: cannot read {path} ({error.strerror})") from None
    try:
        # A key with a password would ask for it on the terminal.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"tls_cert, tls_key: not a certificate and its private key in PEM ({reason}); a key "
            "with a password is not allowed"
        ) from None
