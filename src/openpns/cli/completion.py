"""`openpns completion`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    \b
    bash  put in ~/.bashrc:  eval "$(openpns completion bash)"
    zsh   put in ~/.zshrc:   eval "$(openpns completion zsh)"
    fish  run once:          openpns completion fish > ~/.config/fish/completions/openpns.fish
    """  # noqa: D301
    script = get_completion_class(shell)
    assert script is not None
    root = context.find_root().command
    click.echo(script(root, {}, "openpns", "_OPENPNS_COMPLETE").source())
