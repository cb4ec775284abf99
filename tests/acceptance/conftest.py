"""Fixtures of the tests of real processes; they are defined in tests/conftest.py."""

from tests.processes import KEY_OF, MASTER_KEY, OPENPNS, Process, Start, run_openpns, signed

__all__ = ["KEY_OF", "MASTER_KEY", "OPENPNS", "Process", "Start", "run_openpns", "signed"]
