"""The question that a command asks before it deletes something."""

import sys

import click


def confirm(question: str) -> None:
    """Ask a question, and abort the command unless the answer is yes.

    Raises:
        UsageError: There is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("Without a terminal for the confirmation, --yes is needed.")
    click.confirm(question, abort=True, err=True)
