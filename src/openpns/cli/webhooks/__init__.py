"""`openpns webhooks`: webhooks on the database; deliveries also through the API."""

import click

from openpns.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    package="openpns.cli.webhooks",
    lazy={
        "deliveries": ("deliveries:deliveries", "List deliveries, newest first."),
        "disable": ("operate:disable", "Send nothing until it is enabled."),
        "enable": ("operate:enable", "Send events again."),
        "remove": ("operate:remove", "Delete a webhook and its deliveries."),
        "resend": ("deliveries:resend", "Send deliveries again."),
        "rotate-secret": ("operate:rotate_secret", "Give a webhook a new secret."),
        "set": ("operate:set_", "Set where the events of a customer are delivered."),
        "show": ("show:show", "Show a webhook, or all."),
        "test": ("trial:test", "Send a test event, and say what the receiver answered."),
    },
)
def webhooks() -> None:
    """Set and test webhooks; list deliveries and send them again."""
