"""The entry point. It imports little before it can catch Ctrl-C."""

import sys
from typing import Final

_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command line, and exit."""
    try:
        from openpns.cli.run import run

        code = run()
    except KeyboardInterrupt:  # while modules are imported
        code = _INTERRUPTED
    sys.exit(code)
