"""`openpns sign`."""

import os
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from openpns.cli.exit_codes import ExitCode
from openpns.cli.options import json_option
from openpns.cli.output import print_json
from openpns.clock import now_ms
from openpns.diagnosis.signature import search
from openpns.diagnosis.signature.attempt import Attempt, right_attempt, right_hmac_attempt
from openpns.diagnosis.signature.search import Explanation, Found, mask
from openpns.protocol import signing
from openpns.protocol.headers import BIZ_TYPE, NONCE, PATH

_TS_DIGITS: Final = 13
_NONCE_BYTES: Final = 24
_CONTENT_TYPE: Final = "application/json"
_BOM: Final = b"\xef\xbb\xbf"
_NO_CAUSE: Final = (
    "no known mistake explains it: most likely another secret, body or header value was signed"
)


class SignedRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The headers of a request and the text to sign, with the secret masked."""

    access_key: str
    action: str
    biz_type: str
    ts: str
    algorithm: str
    text: str
    sign: str


class HmacRequest(SignedRequest, frozen=True, rename="camel"):
    """The same for the HMAC scheme, whose text does not contain the secret."""

    host: str
    path: str
    content_type: str
    nonce: str


_key_option = partial(click.option, required=True, show_envvar=True)


@click.command()
@_key_option("--access-key", envvar="OPENPNS_ACCESS_KEY", help="The header accessKey.")
@_key_option(
    "--access-secret",
    envvar="OPENPNS_ACCESS_SECRET",
    help="Its secret; - reads it from stdin. Other users can read options, but not the "
    "environment.",
)
@click.option("--action", required=True, help="The header action.")
@click.option("--biz-type", default=BIZ_TYPE, show_default=True, help="The header bizType.")
@click.option("--ts", metavar="MS", help="The header ts; now, if not given.")
@click.option(
    "--algorithm",
    type=click.Choice(signing.SCHEMES),
    default="md5",
    show_default=True,
    help="The header algorithm.",
)
@click.option("--nonce", help="With hmac-sha256: the header nonce; random, if not given.")
@click.option("--host", help="With hmac-sha256: the header Host.")
@click.option("--path", help=f"With hmac-sha256: the path as sent; {PATH}, if not given.")
@click.option(
    "--content-type",
    help=f"With hmac-sha256: the header Content-Type; {_CONTENT_TYPE}, if not given.",
)
@click.option("--body", type=click.UNPROCESSED, metavar="TEXT", help="The body.")
@click.option(
    "--body-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="A file with the body, used byte for byte; - reads it from stdin.",
)
@click.option("--explain", is_flag=True, help="Explain why the signature --sign does not match.")
@click.option("--sign", "signature", metavar="HEX", help="The signature to explain.")
@json_option
def sign(
    *,
    access_key: str,
    access_secret: str,
    action: str,
    biz_type: str,
    ts: str | None,
    algorithm: str,
    nonce: str | None,
    host: str | None,
    path: str | None,
    content_type: str | None,
    body: str | None,
    body_file: str | None,
    explain: bool,
    signature: str | None,
    as_json: bool,
) -> None:
    """Print a request's text to sign, with the secret masked, and its signature.

    With --explain --sign HEX, check the signature HEX; if it does not match, print the most likely
    mistakes and exit with 4. Give --ts and the body as they were sent.
    """
    if explain != (signature is not None) or (explain and ts is None):
        raise click.UsageError("--explain, --sign and --ts go together")
    hmac_options = (nonce, host, path, content_type)
    _check_hmac_options(algorithm, *hmac_options, explain=explain)
    if body is not None and body_file is not None:
        raise click.UsageError("--body and --body-file exclude each other")
    if access_secret == "-":  # noqa: S105
        if body_file == "-":
            raise click.UsageError("only one of --access-secret and --body-file can be stdin")
        access_secret = _read_secret()
    sent = os.fsencode(body or "") if body_file is None else _read_body(body_file)
    ts = str(now_ms()) if ts is None else ts
    headers = (access_key, action, biz_type, ts)
    if algorithm == signing.HMAC_SHA256:
        right, attempt = _sign_hmac(headers, sent, access_secret, *hmac_options)
    else:
        right, attempt = _sign_digest(headers, sent, access_secret, algorithm)
    if signature is None:
        print_json(right) if as_json else _print_signed(right)
    else:
        explanation = search.explain(attempt, signature)
        if as_json:
            print_json(_explained(right, explanation))
        else:
            _print_explanation(right, explanation)
    for hint in _hints(right, sent, access_secret):
        click.echo(f"hint: {hint}", err=True)
    if signature is not None and not explanation.matches:
        raise click.exceptions.Exit(ExitCode.AUTHENTICATION)


def _check_hmac_options(
    algorithm: str,
    nonce: str | None,
    host: str | None,
    path: str | None,
    content_type: str | None,
    *,
    explain: bool,
) -> None:
    if algorithm != signing.HMAC_SHA256:
        if (nonce, host, path, content_type) != (None, None, None, None):
            raise click.UsageError(
                "--nonce, --host, --path and --content-type need --algorithm hmac-sha256"
            )
    elif host is None or (explain and nonce is None):
        raise click.UsageError("hmac-sha256 needs --host, and with --explain also --nonce")


def _sign_digest(
    headers: tuple[str, str, str, str], body: bytes, access_secret: str, algorithm: str
) -> tuple[SignedRequest, Attempt]:
    text = signing.text_before_secret(*headers, body) + b"***"
    masked = mask(text.decode("utf-8", "backslashreplace"), access_secret)
    signature = signing.sign(*headers, body, access_secret, algorithm)
    right = SignedRequest(*headers, algorithm, masked, signature)
    return right, right_attempt(*headers, body, access_secret, algorithm)


def _sign_hmac(
    headers: tuple[str, str, str, str],
    body: bytes,
    access_secret: str,
    nonce: str | None,
    host: str | None,
    path: str | None,
    content_type: str | None,
) -> tuple[SignedRequest, Attempt]:
    assert host is not None
    path = PATH if path is None else path
    content_type = _CONTENT_TYPE if content_type is None else content_type
    nonce = secrets.token_urlsafe(_NONCE_BYTES) if nonce is None else nonce
    parts = ("POST", host, path, content_type, *headers, nonce)
    request = signing.HmacInput(*(part.encode() for part in parts))
    text = signing.hmac_text(request, body)
    right = HmacRequest(
        *headers,
        signing.HMAC_SHA256,
        mask(text.decode(), access_secret),
        signing.hmac_sign(text, access_secret.encode()),
        host,
        path,
        content_type,
        nonce,
    )
    return right, right_hmac_attempt(request, body, access_secret)


def _read_body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _read_secret() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("--access-secret: stdin must be UTF-8") from None
    # One line end belongs to echo or the file; more would be part of the secret.
    return text.removesuffix("\n").removesuffix("\r")


def _print_signed(signed: SignedRequest) -> None:
    click.echo(f"text to sign  {_visible(signed.text)}")
    click.echo(f"ts            {signed.ts}")
    if isinstance(signed, HmacRequest):
        click.echo(f"nonce         {signed.nonce}")
    click.echo(f"sign          {signed.sign}")


def _print_explanation(right: SignedRequest, explanation: Explanation) -> None:
    if explanation.matches:
        click.echo(f"the signature matches\ntext to sign  {_visible(right.text)}")
        return
    click.echo("the signature does not match")
    click.echo(f"text to sign  {_visible(right.text)}")
    click.echo(f"sign          {right.sign}")
    for number, cause in enumerate(explanation.causes, start=1):
        click.echo(f"\n{number}. {_sentence(cause.found)}")
        click.echo(f"   what was signed: {_visible(cause.text)}")
    if not explanation.causes:
        for line in _without_cause(explanation):
            click.echo(f"\n{line}")


def _visible(text: str) -> str:
    """Return a text with its invisible characters escaped."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def _sentence(found: tuple[Found, ...]) -> str:
    """Return what was done and how to fix it, in one line."""
    whats = [
        f"{one.mistake.what} ({one.detail})" if one.detail else one.mistake.what for one in found
    ]
    fixes = dict.fromkeys(one.mistake.fix for one in found)
    start = "" if len(found) == 1 else f"{len(found)} mistakes at once: "
    return f"{start}{'; '.join(whats)}. {' '.join(fixes)}"


def _without_cause(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.evident is None:
        lines.append(
            "it does not look like a hex digest: md5 has 32 digits, sha256 has 64, in lower case"
        )
    elif explanation.evident:
        lines.append(f"its form shows: {_sentence(explanation.evident)}")
    lines.append(_NO_CAUSE)
    if not explanation.complete:
        lines.append("not everything was tried, because the body is long: try a shorter one")
    return lines


def _explained(right: SignedRequest, explanation: Explanation) -> dict[str, Any]:
    return {
        "matches": explanation.matches,
        "right": right,
        "causes": [
            {"mistakes": _mistakes(cause.found), "text": cause.text} for cause in explanation.causes
        ],
        # what the length and case of the signature show, even without a cause
        "evident": _mistakes(explanation.evident or ()),
        "complete": explanation.complete,
    }


def _mistakes(found: tuple[Found, ...]) -> list[dict[str, str]]:
    return [
        {
            "name": one.mistake.name,
            "what": one.mistake.what,
            "detail": one.detail,
            "fix": one.mistake.fix,
        }
        for one in found
    ]


def _hints(signed: SignedRequest, body: bytes, access_secret: str) -> list[str]:
    """Return what makes a request fail with a correct signature, or looks like a mistake."""
    hints = []
    if not (signed.ts.isascii() and signed.ts.isdigit() and len(signed.ts) == _TS_DIGITS):
        hints.append("ts is not a time in ms, which has 13 digits: expect code 1004")
    if signed.biz_type != BIZ_TYPE:
        hints.append(f"bizType is not {BIZ_TYPE} (privacy number service): expect code 1002")
    if isinstance(signed, HmacRequest) and not NONCE.fullmatch(signed.nonce.encode()):
        hints.append("nonce must have 16 to 64 letters, digits, _ and -: expect code 1002")
    if access_secret != access_secret.strip():
        hints.append("the secret has white space at its start or end, which was used")
    if body.startswith(_BOM):
        hints.append("the body begins with a byte order mark: expect code 1002")
    if body != body.strip():
        hints.append("the body has white space at its start or end, which must be sent")
    return hints
