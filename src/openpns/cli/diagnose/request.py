"""`openpns request`."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from openpns.cli.options import ServerOptions, server_options
from openpns.cli.output import format_curl, to_json
from openpns.cli.streams import change_result
from openpns.client.exchange import Exchanger
from openpns.client.requests import Request
from openpns.clock import now_ms
from openpns.errors import ConfigError, WireError

_READS: Final = ("list", "get", "query")


@click.command()
@click.argument("action")
@click.option(
    "--data",
    type=click.UNPROCESSED,
    default="{}",
    show_default=True,
    metavar="JSON",
    help="The body, sent byte for byte; @FILE for a file, - for stdin.",
)
@click.option("--curl", "as_curl", is_flag=True, help="Send nothing; print a curl command.")
@server_options
def request(action: str, data: str, *, as_curl: bool, server: ServerOptions) -> None:
    """Send a request with any ACTION, such as listGroup, and print the envelope.

    The envelope is indented on a terminal, else in one line. The command that --curl prints is
    valid for 60 s, because its signature contains the time. It does not contain the secret.
    """
    body = _read_body(data)
    made: Request[dict[str, Any]] = Request(action, msgspec.Raw(body), lambda envelope: envelope)
    if as_curl:
        click.echo(curl_command(made, server))
        return
    # The result of a write must not be lost with the output; a read can be sent again.
    shown = nullcontext if action.startswith(_READS) else change_result
    with server.open() as client:
        try:
            envelope = client.send(made)
            with shown():
                _print(envelope)
        except WireError as error:
            _print(error.answer or {"code": error.code, "msg": error.msg})
            raise


def curl_command(made: Request[Any], server: ServerOptions) -> str:
    """Return a curl command that sends a request, signed now."""
    config = server.load()
    step = Exchanger(config, now_ms).sign(made)
    return format_curl(config.url, step.headers, step.content.decode())


def _read_body(data: str) -> bytes:
    try:
        if data == "-":
            body = sys.stdin.buffer.read()
        elif data.startswith("@"):
            body = Path(data[1:]).read_bytes()
        else:
            body = data.encode()
    except OSError as error:
        raise ConfigError(f"--data: cannot read {data[1:]} ({error.strerror})") from None
    except UnicodeEncodeError:
        raise ConfigError("--data: is not UTF-8") from None
    try:
        body.decode()
        msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        example = '{"limit":10,"offset":0}'
        raise ConfigError(f"--data: must be a JSON object in UTF-8, such as {example}") from None
    return body


def _print(envelope: dict[str, Any]) -> None:
    indent, separators = (2, None) if sys.stdout.isatty() else (None, (",", ":"))
    click.echo(to_json(envelope, indent, separators))
