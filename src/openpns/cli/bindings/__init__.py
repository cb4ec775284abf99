"""`openpns bindings`: bindings through the API, and the operator's commands on the database."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package="openpns.cli.bindings",
    lazy={
        "axb": ("bind:axb", "Bind two phones."),
        "axg": ("bind:axg", "Bind a phone and a number group."),
        "confirm": ("operate:confirm", "Connect calls again after a restore."),
        "end": ("operate:end", "End old bindings of a customer, on the database."),
        "export": ("transfer:export", "Write the bindings of a customer to a file."),
        "extension": ("bind:extension", "Bind a phone to digits on a virtual number."),
        "get": ("show:get", "Show one live binding."),
        "hold": ("operate:hold", "Connect no calls until they are confirmed."),
        "import": ("transfer:import_", "Store the bindings of a file."),
        "list": ("list:list_", "List live bindings, oldest first."),
        "query": ("show:query", "Print who is to be called."),
        "unbind": ("edit:unbind", "End a binding."),
        "update": ("edit:update", "Change the end or the second phone of a binding."),
    },
)
def bindings() -> None:
    """Bind phones on virtual numbers, and list, change and end bindings."""
