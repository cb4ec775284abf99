"""TLS by setting: the server's certificate, loaded at the start and again on SIGHUP."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openpns.clock import now_ms
from openpns.core import logs
from openpns.errors import ConfigError
from openpns.kit.private_file import check_private
from openpns.server.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509

_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


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
    # A client could ask for new keys of TLS 1.2 again and again; each time costs a signature.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_files(context, settings)
    return context


def reload(settings: Settings) -> ssl.SSLContext | None:
    """Return a context with the files of now; log why and return None if they cannot be loaded.

    It is a new one: a context has a certificate for each type of key, and loading replaces one.
    """
    try:
        context = load(settings)
    except ConfigError as error:
        logs.logger().error("certificate not reloaded", why=str(error))
        return None
    logs.logger().info("certificate reloaded")
    warn_of_expiry(settings)
    return context


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
    passwords: list[str] = []

    def no_password() -> str:  # else OpenSSL asks for it on the terminal
        passwords.append("")
        return ""

    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        why = _why(settings.tls_cert, settings.tls_key, getattr(error, "reason", None))
        if passwords:
            why = f"tls_key: {settings.tls_key} has a password; allowed is a key without one"
        raise ConfigError(why) from None


def _why(cert: str, key: str, reason: str | None) -> str:
    """Return why OpenSSL refuses two files that can be read; it names neither."""
    if reason in _MISMATCHES:
        return f"tls_key: {key} is not the private key of the certificate in {cert}"
    if reason is not None:
        return f"tls_cert, tls_key: OpenSSL refuses {cert} and {key} ({reason})"
    if not _certificates(cert):
        return f"tls_cert: {cert} holds no certificate in PEM"
    return f"tls_key: {key} holds no private key in PEM"


def warn_of_expiry(settings: Settings) -> None:
    """Log a certificate that clients refuse because of the time; it is used all the same."""
    now = datetime.fromtimestamp(now_ms() / 1000, UTC)
    for certificate in _certificates(settings.tls_cert)[:1] if settings.tls_cert else ():
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not first <= now <= last:
            event = "certificate is not valid yet" if now < first else "certificate has expired"
            logs.logger().error(event, valid_from=f"{first}", valid_to=f"{last}")


def _certificates(file: str) -> "list[x509.Certificate]":
    from cryptography import x509  # noqa: PLC0415 - most servers have no certificate

    try:
        return x509.load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError):
        return []
