"""`openpns`: the commands, and how every one of them fails: one clear line and an exit code."""

import os
import sys

import click

from openpns import __version__
from openpns.cli import (
    audit,
    backup,
    call,
    completion,
    customers,
    doctor,
    emulator,
    groups,
    keys,
    limits,
    master_key,
    migrate,
    quickstart,
    serve,
    sign,
    verify,
)
from openpns.cli.exit_codes import ExitCode, exit_code_of
from openpns.errors import OpenPNSError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openpns")
def cli() -> None:
    """A self-hosted privacy number service."""


for command in (
    quickstart.quickstart,
    serve.serve,
    migrate.migrate,
    backup.backup,
    backup.restore,
    verify.verify,
    customers.customers,
    keys.keys,
    audit.audit,
    groups.groups,
    limits.limits,
    call.call,
    doctor.doctor,
    emulator.emulator,
    master_key.master_key,
    sign.sign,
    completion.completion,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    try:
        # https://no-color.org: any value but an empty one; click does not look at it by itself.
        cli(standalone_mode=True, color=False if os.environ.get("NO_COLOR") else None)
    except OpenPNSError as error:
        click.echo(f"openpns: {error}", err=True)
        sys.exit(exit_code_of(error))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openpns"):
            raise
        click.echo(
            f"openpns: this command needs the server's packages ({error.name} is missing); "
            "install them with: pip install 'openpns[server]'",
            err=True,
        )
        sys.exit(ExitCode.FAILED)
