"""The options of `set-audio` of `openpns numbers` and `openpns customers`, and how audios print."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from openpns.accounts.customers import Customer
from openpns.kit.plain_text import plain
from openpns.numbers.audios import Audios
from openpns.numbers.service import StoredNumber

_OPTIONS: Final = {
    "--call-fail": ("call_fail", "Played if nobody is called."),
    "--dtmf-err": ("dtmf_err", "Played for wrong digits."),
    "--dtmf-need": ("dtmf_need", "Asks for digits."),
}


def audio_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each audio, and --default for none; see `read_audios`."""
    default = click.option("--default", "is_default", is_flag=True, help="Set none.")
    command = default(command)
    for option, (name, meaning) in reversed(_OPTIONS.items()):
        command = click.option(option, name, metavar="URL", help=meaning)(command)
    return command


def read_audios(
    call_fail: str | None, dtmf_err: str | None, dtmf_need: str | None, *, is_default: bool
) -> Audios:
    """Return what the options say.

    Raises:
        UsageError: Neither an audio nor --default is given, or both.
    """
    given = (call_fail, dtmf_err, dtmf_need)
    if all(url is None for url in given) != is_default:
        raise click.UsageError(f"give either --default or some of {', '.join(_OPTIONS)}")
    return Audios(*given)


def audio_lines(owner: StoredNumber | Customer) -> Sequence[str]:
    """Return a line for each audio that is set; an empty one is the switch's own tone."""
    urls = (owner.audio_when_call_fail, owner.audio_when_dtmf_err, owner.audio_when_dtmf_need)
    return [
        plain(f"audio {option.removeprefix('--')}: {url or 'the own tone of the switch'}")
        for option, url in zip(_OPTIONS, urls, strict=True)
        if url is not None
    ]
