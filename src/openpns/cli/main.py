"""`openpns`: the commands, and how every one of them fails: one clear line and an exit code."""

import sys

import click

from openpns import __version__
from openpns.cli import customers, groups, keys, master_key, migrate, quickstart, serve
from openpns.errors import ConfigError, OpenPNSError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openpns")
def cli() -> None:
    """A self-hosted privacy number service."""


for command in (
    quickstart.quickstart,
    serve.serve,
    migrate.migrate,
    customers.customers,
    keys.keys,
    groups.groups,
    master_key.master_key,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    try:
        cli(standalone_mode=True)
    except OpenPNSError as error:
        click.echo(f"openpns: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("openpns"):
            raise
        click.echo(
            f"openpns: this command needs the server's packages ({error.name} is missing); "
            "install them with: pip install 'openpns[server]'",
            err=True,
        )
        sys.exit(1)
