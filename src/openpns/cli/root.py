"""`openpns`: the commands."""

from typing import Any

import click

from openpns import __version__
from openpns.cli.lazy import LazyGroup


class Root(LazyGroup):
    """All commands. Ctrl-C raises Abort because of KeyboardInterrupt."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error


@click.group(
    cls=Root,
    package="openpns.cli",
    lazy={
        "audit": ("operator.audit", "Show who changed what and when."),
        "backup": ("operator.backup", "Copy an SQLite database to a file."),
        "bindings": ("bindings", "Bind phones on virtual numbers; list and end bindings."),
        "call-records": ("call_records:call_records", "List, export and delete records of calls."),
        "completion": ("completion", "Print a shell's completion script."),
        "copy": ("operator.copy", "Copy a database to another one, and move there."),
        "customers": ("operator.customers", "Create, list, disable and enable customers."),
        "doctor": ("diagnose.doctor", "Check step by step whether requests work."),
        "emulator": ("server.emulator", "Serve from memory, for tests."),
        "explain": ("diagnose.explain", "Say who would be called, and if nobody, why."),
        "groups": ("groups", "List, change, import and export number groups."),
        "keys": ("operator.keys", "Create, list, change, disable, enable and rotate access keys."),
        "limits": ("diagnose.limits", "Show all limits of the access key, and their usage."),
        "listen": ("listen.command:listen", "Receive webhooks on a local port, and print them."),
        "master-key": (
            "operator.master_key",
            "Create and rotate the key that encrypts secrets.",
        ),
        "migrate": ("operator.migrate", "Bring a database's tables up to date."),
        "numbers": ("numbers", "Add, list, drain, disable and remove virtual numbers."),
        "pull": ("operator.pull", "Copy groups and bindings from another server of this API."),
        "quickstart": ("server.quickstart", "Create and serve a sample database."),
        "request": ("diagnose.request", "Send a request with any action and body."),
        "restore": ("operator.backup:restore", "Restore a backup of an SQLite database."),
        "serve": ("server.serve", "Run the server until Ctrl-C or SIGTERM."),
        "sign": (
            "diagnose.sign",
            "Print the signature of a request, or explain why one does not match.",
        ),
        "verify": ("operator.verify", "Check the schema and every row of a database."),
        "webhooks": ("webhooks", "Set and test webhooks; list and resend deliveries."),
        "worker": ("server.worker", "Deliver to webhooks until Ctrl-C or SIGTERM."),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="openpns")
def cli() -> None:
    """A self-hosted privacy number service."""
