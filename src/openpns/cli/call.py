"""`openpns call`: send any action with any body, or print the curl command that does."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from openpns.cli.profile import Target, client_options, open_client
from openpns.clock import now_ms
from openpns.errors import ConfigError, WireError

if TYPE_CHECKING:
    from openpns.client.requests import Request


@click.command()
@click.argument("action")
@click.option(
    "--data",
    default="{}",
    show_default=True,
    metavar="JSON",
    help="The body, sent byte for byte; @FILE for a file, - for stdin.",
)
@click.option("--curl", "as_curl", is_flag=True, help="Send nothing; print a curl command.")
@client_options
def call(action: str, data: str, *, as_curl: bool, target: Target) -> None:
    """Send one ACTION, such as listGroup, and print the answer's envelope.

    The envelope is indented on a terminal, and one line where it is piped. With --curl, a
    command is printed that can be pasted for 60 s: its signature holds the time, and the secret
    does not stand in it.
    """
    from openpns.client.requests import Request

    body = _read_body(data)
    made: Request[dict[str, Any]] = Request(action, msgspec.Raw(body), lambda envelope: envelope)
    if as_curl:
        click.echo(curl_command(made, target))
        return
    with open_client(target) as client:
        try:
            _print(client.send(made))
        except WireError as error:
            _print(error.answer or {"code": error.code, "msg": error.msg})
            raise


def curl_command(made: "Request[Any]", target: Target) -> str:
    """Return a curl command that sends a call, signed now.

    Args:
        made: The call.
        target: Which server, as whom.

    Raises:
        ConfigError: A setting is missing or not allowed, or the body cannot be written in a
            command.
    """
    from openpns.client.exchange import Exchanger

    config = target.load()
    step = Exchanger(config, now_ms).sign(made)
    lines = [f"curl -sS {shlex.quote(config.url)}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in step.headers.items()]
    lines.append(f"--data-raw {shlex.quote(step.content.decode())}")
    return " \\\n  ".join(lines)


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
    if sys.stdout.isatty():
        click.echo(json.dumps(envelope, ensure_ascii=False, indent=2))
    else:
        click.echo(json.dumps(envelope, ensure_ascii=False, separators=(",", ":")))
