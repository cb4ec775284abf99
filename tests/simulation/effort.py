"""How much the random tests try, and from which seed; longer runs are for people to start."""

import os
import secrets

# Read when tests are collected: they themselves run without settings from outside.
EFFORT = int(os.environ.get("OPENPNS_TEST_EFFORT") or 1)
SEED = int(os.environ.get("OPENPNS_TEST_SEED") or secrets.randbelow(2**32))


def command(test: str) -> str:
    """The command that runs a test again with the same choices."""
    return f"OPENPNS_TEST_SEED={SEED} OPENPNS_TEST_EFFORT={EFFORT} .venv/bin/pytest '{test}'"
