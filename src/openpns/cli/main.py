"""`openpns`: the commands, and how a command fails: with one line and an exit code."""

import os
import sys

import click

from openpns import __version__
from openpns.cli.exit_codes import ExitCode
from openpns.cli.lazy import LazyGroup
from openpns.errors import OpenPNSError
from openpns.kit import environment
from openpns.kit.plain_text import plain


@click.group(
    cls=LazyGroup,
    package="openpns.cli",
    lazy={
        "audit": ("operator.audit", "Show who changed what and when."),
        "backup": ("operator.backup", "Copy an SQLite database to a file."),
        "completion": ("completion", "Print a shell's completion script."),
        "customers": ("operator.customers", "Create, list, disable and enable customers."),
        "doctor": ("diagnose.doctor", "Check step by step whether requests work."),
        "emulator": ("server.emulator", "Serve from memory, for tests."),
        "groups": ("groups", "List, change, import and export number groups."),
        "keys": ("operator.keys", "Create, list, change, disable, enable and rotate access keys."),
        "limits": ("diagnose.limits", "Show all limits of the access key, and their usage."),
        "master-key": (
            "operator.master_key",
            "Create and rotate the key that encrypts access secrets.",
        ),
        "migrate": ("operator.migrate", "Bring a database's tables up to date."),
        "quickstart": ("server.quickstart", "Create and serve a sample database."),
        "request": ("diagnose.request", "Send a request with any action and body."),
        "restore": ("operator.backup:restore", "Restore a backup of an SQLite database."),
        "serve": ("server.serve", "Run the server until Ctrl-C or SIGTERM."),
        "sign": (
            "diagnose.sign",
            "Print the signature of a request, or explain why one does not match.",
        ),
        "verify": ("operator.verify", "Check the schema and every row of a database."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="openpns")
def cli() -> None:
    """A self-hosted privacy number service."""


def main() -> None:
    """Run the command line."""
    _open_standard_streams()
    environment.tidy(os.environ)
    try:
        # https://no-color.org: any value but an empty one. click itself does not look at it.
        cli(standalone_mode=True, color=False if os.environ.get("NO_COLOR") else None)
    except OpenPNSError as error:
        click.echo(plain(f"openpns: {error}"), err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openpns"):
            raise
        click.echo(
            f"openpns: this command needs the server's packages ({error.name} is missing); "
            "install them with: pip install 'openpns[server]'",
            err=True,
        )
        sys.exit(ExitCode.FAILED)


def _open_standard_streams() -> None:
    """Open those that are closed; else a file or a socket would get their descriptor."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # it is open, but not for Python
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
