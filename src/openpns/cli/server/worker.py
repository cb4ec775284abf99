"""`openpns worker`."""

import os
from typing import Any

import click
import msgspec

from openpns.cli.server.options import config_option, settings_options
from openpns.deliveries.settings import DeliverySettings
from openpns.process.config import load
from openpns.server.config import unknown_variables
from openpns.server.settings import FIELDS


@click.command()
@config_option
@settings_options(msgspec.structs.fields(DeliverySettings))
def worker(config: str | None, **arguments: Any) -> None:
    """Deliver to webhooks until Ctrl-C or SIGTERM.

    For installations in which `openpns serve` does not: see its --webhook-worker. Workers on any
    number of machines share the work. A file or a variable with a setting of the server alone is
    ignored.
    """
    from openpns.worker.run import run  # needs the server's packages, --help does not

    of_server = [field.name for field in FIELDS]
    settings = load(DeliverySettings, arguments, os.environ, config, of_others=of_server)
    run(settings, unknown_variables(os.environ))
