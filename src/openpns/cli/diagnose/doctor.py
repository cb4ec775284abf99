"""`openpns doctor`."""

import click
import msgspec

from openpns.cli.options import ServerOptions, json_option, server_options
from openpns.cli.output import print_json
from openpns.diagnosis.doctor import Doctor, StepFailed
from openpns.kit.plain_text import plain

_COLOURS = {"ok": "green", "failed": "red", "skipped": None}


@click.command()
@json_option
@server_options
def doctor(*, as_json: bool, server: ServerOptions) -> None:
    """Check step by step whether requests work: settings, network, clock, key, permission.

    Stops at the first step that fails and says what to do. Settings come from the options, then
    from OPENPNS_BASE_URL, OPENPNS_ACCESS_KEY and OPENPNS_ACCESS_SECRET, then from a profile.
    """
    results: list[dict[str, str]] = []
    failure = None
    for name, check in Doctor(msgspec.structs.asdict(server)).steps():
        try:
            detail = check()
            state = "ok" if detail else "skipped"
            detail, advice = detail or "nothing to check", ""
        except StepFailed as failed:
            state, detail, advice = "failed", failed.detail, failed.advice
            failure = failed.error
        results.append({"step": name, "state": state, "detail": detail, "advice": advice})
        if not as_json:
            _print(**results[-1])
        if failure is not None:
            break
    if as_json:
        print_json({"ok": failure is None, "steps": results})
    if failure is not None:
        raise failure


def _print(step: str, state: str, detail: str, advice: str) -> None:
    first, *others = plain(detail).split("; ")
    click.echo(f"{click.style(f'{state:7}', fg=_COLOURS[state])}  {step:10}  {first}")
    for line in [*others, advice]:
        if line:
            click.echo(f"{'':19}  {line}")
