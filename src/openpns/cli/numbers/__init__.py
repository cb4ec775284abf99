"""`openpns numbers`: virtual numbers, on the database; the list also through the API."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package="openpns.cli.numbers",
    lazy={
        "add": ("operate:add", "Give virtual numbers to a customer."),
        "disable": ("operate:disable", "Connect no calls on a virtual number."),
        "drain": ("operate:drain", "Take no new bindings on a virtual number."),
        "enable": ("operate:enable", "Take bindings and calls again."),
        "list": ("list:list_", "List virtual numbers."),
        "remove": ("operate:remove", "Take a virtual number from its customer."),
        "set-audio": ("operate:set_audio", "Set what callers of a virtual number hear."),
        "show": ("operate:show", "Show one virtual number."),
    },
)
def numbers() -> None:
    """Add, list, drain, disable and remove virtual numbers; set their audios."""
