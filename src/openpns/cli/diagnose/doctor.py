"""`openpns doctor`."""

import click
import msgspec

from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import plain, print_json
from openpns.diagnosis.doctor import Doctor, StepFailed

_COLOURS = {"ok": "green", "failed": "red", "skipped": None}


class StepResult(msgspec.Struct, frozen=True):
    """The result of a step; `state` is a key of `_COLOURS`, "skipped" if nothing was checked."""

    step: str
    state: str
    detail: str
    advice: str = ""


@click.command()
@json_option
@server_options
def doctor(*, as_json: bool, server: ServerOptions) -> None:
    """Check step by step whether requests work: settings, network, clock, key, permission.

    Stops at the first step that fails and says what to do. Settings come from the options, then
    from OPENPNS_BASE_URL, OPENPNS_ACCESS_KEY and OPENPNS_ACCESS_SECRET, then from a profile.
    """
    results: list[StepResult] = []
    failure = None
    for name, check in Doctor(msgspec.structs.asdict(server)).steps():
        try:
            detail = check()
            state = "ok" if detail else "skipped"
            result = StepResult(name, state, detail or "nothing to check")
        except StepFailed as failed:
            result = StepResult(name, "failed", failed.detail, failed.advice)
            failure = failed.error
        results.append(result)
        if not as_json:
            _print(result)
        if failure is not None:
            break
    if as_json:
        print_json({"ok": failure is None, "steps": results})
    if failure is not None:
        raise failure


def _print(result: StepResult) -> None:
    state = click.style(f"{result.state:7}", fg=_COLOURS[result.state])
    first, *others = plain(result.detail).split("; ")
    click.echo(f"{state}  {result.step:10}  {first}")
    for line in [*others, result.advice]:
        if line:
            click.echo(f"{'':19}  {line}")
