"""What the tests of real processes use; the fixtures stand in tests/conftest.py."""

from tests.processes import KEY_OF, MASTER_KEY, OPENPNS, Process, Start, run_openpns, signed

__all__ = ["KEY_OF", "MASTER_KEY", "OPENPNS", "Process", "Start", "run_openpns", "signed"]
