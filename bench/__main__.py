"""`make bench`: measure openpns and its peers; docs/benchmarks.md has the method."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import (
    bindings,
    deliveries,
    floods,
    life,
    load,
    proc,
    reads,
    records,
    refusals,
    report,
    results,
    sizes,
    writes,
)
from bench.databases import open_databases
from bench.figures import BenchError
from bench.results import Group, Results
from bench.rounds import QUICK, Bench, Plan

ROOT = Path(__file__).parents[1]
_HEAD_LINES = 2
Work = Callable[[Bench], None]
GROUPS: dict[str, tuple[Work, ...]] = {
    "reads": reads.WORKS,
    "writes": writes.WORKS,
    "sizes": sizes.WORKS,
    "bindings": bindings.WORKS,
    "life": life.WORKS,
    "refusals": refusals.WORKS,
    "floods": floods.WORKS,
    "deliveries": deliveries.WORKS,
    "records": records.WORKS,
}


def main() -> int:
    """Run the groups and write what they found; return the exit code."""
    arguments = _arguments()
    # As Ctrl-C does: servers are stopped and databases deleted on exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _run(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    names = list(dict.fromkeys(arguments.group or GROUPS))
    plan = QUICK if arguments.quick else Plan()
    print(_expected(names, is_quick=arguments.quick), flush=True)
    measured: Results = {}
    failed = []
    with (
        open_databases(arguments.folder) as databases,
        tempfile.TemporaryDirectory(prefix="openpns-bench-files-") as folder,
    ):
        for name in names:
            bench = Bench(databases, Path(folder), arguments.peers, plan)
            started = time.monotonic()
            with bench.stack:
                succeeded = [_run_work(bench, work) for work in GROUPS[name]]  # each of them
            facts = proc.facts(arguments.folder, databases.postgres_version, arguments.peers)
            minutes = round((time.monotonic() - started) / 60, 1)
            measured[name] = Group(facts, minutes, bench.rows)
            if not all(succeeded):
                failed.append(name)
            elif not arguments.quick:
                _write({name: measured[name]})
    for name, text in report.tables_of(measured).items():
        if text.count("\n") > _HEAD_LINES and not text.startswith("!"):
            print(f"\n{name}\n\n{text}", end="")
    if arguments.quick:
        print(f"\nquick: {plan}; nothing is written")
    if failed:
        print(f"bench: failed, not written: {', '.join(failed)}; reasons above", file=sys.stderr)
    return 1 if failed else 0


def _check(arguments: argparse.Namespace) -> None:
    if sys.platform != "linux":
        raise BenchError("reads CPU and memory from /proc, so it runs on Linux only")
    load.require_wrk()
    if not arguments.folder.is_dir():
        raise BenchError(f"--folder {arguments.folder} is not a folder")
    if not arguments.peers.exists():
        raise BenchError(f"--peers {arguments.peers} does not exist; make bench installs it")


def _expected(names: Sequence[str], *, is_quick: bool) -> str:
    if is_quick:
        return "about 3 minutes"
    before = results.read(results.FOLDER)
    took = (f"{name} {before[name].minutes if name in before else 15} min" for name in names)
    return f"expected time: {', '.join(took)}"


def _run_work(bench: Bench, work: Work) -> bool:
    """Run a work; return whether it succeeded. A failure does not stop the others."""
    print(f"{work.__module__.removeprefix('bench.')}: {work.__name__}", flush=True)
    try:
        work(bench)
    except BenchError as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        print(f"bench: {work.__name__}: {error}\n{notes}", file=sys.stderr, flush=True)
        return False
    return True


def _write(measured: Results) -> None:
    """Write the results of a group, and the tables and charts of all groups."""
    results.write(results.FOLDER, measured)
    every = results.read(results.FOLDER)
    for name, svg in report.charts_of(every).items():
        (results.FOLDER / name).write_text(svg, "utf-8")
    tables = report.tables_of(every)
    for page in report.PAGES:
        page.write_text(report.with_tables(page.read_text("utf-8"), tables), "utf-8")
    print(f"  written to {results.FOLDER}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="less data, short rounds; nothing is written"
    )
    parser.add_argument(
        "--group", action="append", choices=GROUPS, help="a group of works; repeatable"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/tmp"),  # noqa: S108 - on a disk, unlike /tmp
        help="where the databases go; must be on a disk (default: /var/tmp)",
    )  # fmt: skip
    parser.add_argument(
        "--peers", type=Path, default=ROOT / ".venv-bench" / "bin" / "python",
        help="the Python that has the peers' packages",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
