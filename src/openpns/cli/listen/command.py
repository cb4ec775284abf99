"""The command."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from openpns.cli.lazy import FILE_NAME
from openpns.cli.listen.answers import Answers, Refused, Rules, Shown
from openpns.cli.listen.forwarding import Forwarder
from openpns.cli.listen.printing import line_of
from openpns.cli.listen.screen import Screen
from openpns.cli.listen.server import serving
from openpns.cli.options import json_option
from openpns.errors import ConfigError
from openpns.kit.plain_text import plain
from openpns.kit.private_file import check_private
from openpns.kit.stop_signals import ignore_stop_signals
from openpns.kit.text_file import decode_text
from openpns.protocol.headers import host_in_url
from openpns.transport.sockets import listen as listen_on
from openpns.webhooks import Receiver, Repeats

SECRET_VARIABLE: Final = "OPENPNS_WEBHOOK_SECRET"  # noqa: S105 - its name
_FILE_BYTES_MAX: Final = 64 * 1024


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port; 0 picks a free one.",
)
@click.option(
    "--secret-file",
    type=FILE_NAME,
    metavar="FILE",
    help="A file with the webhook's secret, or with several, such as during a rotation; - for "
    f"stdin. Without it, the secret is that of {SECRET_VARIABLE}, or is asked for.",
)
@click.option("--forward", metavar="URL", help="Send each event on to this URL, byte for byte.")
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    help="Answer valid events with this status.  [default: 200]",
)
@click.option(
    "--fail",
    "failures",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Answer the first N attempts of each event with --status, or 500.",
)
@click.option(
    "--drop-repeats", is_flag=True, help="Do not show and forward again what was delivered."
)
@click.option("--show-numbers", is_flag=True, help="Print whole phones; else they are masked.")
@json_option
def listen(
    *,
    host: str,
    port: int,
    secret_file: str | None,
    forward: str | None,
    status: int | None,
    failures: int | None,
    drop_repeats: bool,
    show_numbers: bool,
    as_json: bool,
) -> None:
    """Receive webhooks on a local port, verify and print them, until Ctrl-C or SIGTERM.

    Each event is one line. A delivery that is not valid is answered with 400, 401 or 413, and
    reported on stderr.
    """
    if forward is not None and status is not None and failures is None:
        raise click.UsageError("--status and --forward exclude each other, unless --fail is given")
    receiver = Receiver(_read_secrets(secret_file))
    forwarder = None if forward is None else Forwarder(forward)
    screen = Screen()
    answers = Answers(
        receiver,
        Rules(status, failures, forwarder),
        Repeats() if drop_repeats else None,
        screen.show,
    )

    def write(shown: Shown) -> None:
        line = line_of(shown, as_json=as_json, show_numbers=show_numbers)
        click.echo(line, err=isinstance(shown, Refused))

    listening = listen_on("port", host, port)
    url = f"http://{host_in_url(host)}:{listening.getsockname()[1]}/"
    try:
        with serving(listening, answers, screen):
            if forwarder is not None and forwarder.is_exposed:
                _say(
                    "--forward is plain HTTP to another machine: anybody on the way can read phones"
                )
            _say(f"listening on {url} until Ctrl-C")
            screen.run(write)
    except KeyboardInterrupt:  # the usual end
        ignore_stop_signals()
    finally:
        if forwarder is not None:
            forwarder.close()


def _say(text: str) -> None:
    click.echo(plain(f"openpns: {text}"), err=True)


def _read_secrets(file: str | None) -> str:
    """Return the text with the secrets.

    Raises:
        ConfigError: There is none, or the file cannot be read, or others can read it.
    """
    if file is not None:
        return _read_file(file)
    if os.environ.get(SECRET_VARIABLE):
        return os.environ[SECRET_VARIABLE]
    if not _is_terminal():
        raise ConfigError(
            f"the webhook's secret: not set; give it in {SECRET_VARIABLE} or in --secret-file FILE"
        )
    entered: str = click.prompt("The webhook's secret", hide_input=True, err=True)
    return entered


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _read_file(file: str) -> str:
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_FILE_BYTES_MAX)
        else:
            with Path(file).open("rb") as opened:
                check_private(file, opened.fileno(), "a webhook's secret")
                content = opened.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"{file}: cannot read it ({error.strerror})") from None
    text, problem = decode_text(content)
    if problem:
        raise ConfigError(f"{file}: {problem}")
    if not text.strip():
        raise ConfigError(f"{file}: has no secret; allowed are one or several, whsec_ and base64")
    return text
