"""`openpns doctor`: why a profile's calls do not work, one step after another."""

from typing import TYPE_CHECKING

import click
import msgspec

from openpns.cli.output import json_option, plain, print_json
from openpns.cli.profile import Target, client_options

if TYPE_CHECKING:
    from openpns.errors import OpenPNSError

OK = "ok"
FAILED = "failed"
SKIPPED = "skipped"


class Step(msgspec.Struct, frozen=True):
    """What a step came to.

    Attributes:
        step: Its name.
        state: "ok", "failed", or "skipped" where there was nothing to check.
        detail: What was found.
        advice: What to do; empty unless it failed.
    """

    step: str
    state: str
    detail: str
    advice: str


class Findings(msgspec.Struct, frozen=True):
    """What all steps came to.

    Attributes:
        ok: Whether none failed.
        steps: The steps up to the first that failed.
    """

    ok: bool
    steps: list[Step]


@click.command()
@json_option
@client_options
def doctor(*, as_json: bool, target: Target) -> None:
    """Check step by step whether calls work: settings, network, clock, key, signature, permission.

    Stops at the first step that fails and says what to do. Settings are taken from the options,
    else from OPENPNS_BASE_URL, OPENPNS_ACCESS_KEY and OPENPNS_ACCESS_SECRET, else from a profile.
    """
    from openpns.diagnosis.doctor import Checkup, Failed

    found: list[Step] = []
    failure: OpenPNSError | None = None
    for name, take in Checkup(target).steps():
        try:
            detail = take()
            step = Step(name, OK if detail else SKIPPED, detail or "nothing to check", "")
        except Failed as failed:
            step = Step(name, FAILED, failed.detail, failed.advice)
            failure = failed.error
        found.append(step)
        if not as_json:
            _print(step)
        if failure is not None:
            break
    if as_json:
        print_json(Findings(failure is None, found))
    if failure is not None:
        raise failure


def _print(step: Step) -> None:
    colour = {OK: "green", FAILED: "red", SKIPPED: None}[step.state]
    state = click.style(f"{step.state:7}", fg=colour)
    first, *others = plain(step.detail).split("; ")
    click.echo(f"{state}  {step.step:10}  {first}")
    for line in [*others, step.advice]:
        if line:
            click.echo(f"{'':19}  {line}")
