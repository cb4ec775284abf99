"""`make bench`: measure openpns and its peers; docs/benchmarks.md has the method."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import extras, finds, machine, reads, report, writes
from bench.databases import open_databases
from bench.figures import BenchError
from bench.load import require_wrk
from bench.rounds import QUICK, Bench, Plan

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PAGE = RESULTS / "README.md"

# Growth before the deep pages: these delete some groups.
WORKS: dict[str, Callable[[Bench], None]] = {
    "repeated": reads.repeated_page,
    "large": reads.large_page,
    "uncached": reads.uncached,
    "growth": extras.growth,
    "find": finds.find,
    "deep": reads.deep_page,
    "mixed": reads.mixed,
    "create": writes.create_group,
    "add": writes.add_number,
    "workers": reads.two_workers,
    "memory": extras.memory,
    "start": extras.start_time,
}


def main() -> int:
    """Run the works and write what they found; return the exit code."""
    arguments = _arguments()
    # As Ctrl-C does: servers are stopped and databases deleted on exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return _run(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if not machine.is_linux():
        raise BenchError("reads CPU and memory from /proc, so it runs on Linux only")
    require_wrk()
    plan = QUICK if arguments.quick else Plan()
    names = arguments.only or list(WORKS)
    started = time.monotonic()
    with (
        open_databases(arguments.folder) as databases,
        tempfile.TemporaryDirectory(prefix="openpns-bench-files-") as folder,
    ):
        bench = Bench(databases, Path(folder), arguments.peers, plan)
        facts = machine.facts(arguments.folder, databases.server, arguments.peers)
        failed = [name for name in names if not _run_work(bench, name, started)]
    facts["minutes"] = round((time.monotonic() - started) / 60, 1)
    is_whole = not (arguments.quick or arguments.only or failed)
    _write(bench, facts, is_whole=is_whole)
    if failed:
        print(f"bench: failed: {', '.join(failed)}; the reasons stand above", file=sys.stderr)
    return 1 if failed else 0


def _run_work(bench: Bench, name: str, started: float) -> bool:
    """Run a work; return whether it succeeded. A failure does not stop the others."""
    print(f"{name} ({time.monotonic() - started:.0f} s)", flush=True)
    try:
        WORKS[name](bench)
    except BenchError as error:
        print(f"bench: {name}: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _write(bench: Bench, facts: dict[str, object], *, is_whole: bool) -> None:
    """Print the tables; write files, and the docs' own where everything was measured."""
    tables = report.tables_of(bench, facts)
    for name, text in tables.items():
        print(f"\n{name}\n\n{text}", end="")
    folder = RESULTS if is_whole else RESULTS / "partial"
    report.write(report.result_of(bench, facts), report.charts_of(bench), folder)
    print(f"\nwritten to {folder}")
    if is_whole:
        PAGE.write_text(report.with_tables(PAGE.read_text("utf-8"), tables), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data, one short round of each")
    parser.add_argument(
        "--only", action="append", choices=WORKS, help="one work; can be given several times"
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
