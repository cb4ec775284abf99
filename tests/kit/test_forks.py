import os
import subprocess
import sys

import pytest

from openpns.kit import forks

PROGRAM = """
import os, sys
from openpns.kit.forks import renew_after_fork

class Renewed:
    def __init__(self, name):
        self.name = name
        renew_after_fork(self)

    def after_fork(self):
        print(self.name, os.getpid() != parent, flush=True)

parent = os.getpid()
first, second, forgotten = Renewed("first"), Renewed("second"), Renewed("forgotten")
del forgotten
if os.fork() == 0:
    os._exit(0)
os.wait()
"""


def test_objects_are_renewed_in_the_child_in_their_order() -> None:
    out = subprocess.check_output([sys.executable, "-c", PROGRAM], text=True)
    assert out == "first True\nsecond True\n"


def test_subprocess_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renewed:
        def after_fork(self) -> None:
            os._exit(9)

    renewed = Renewed()
    forks.renew_after_fork(renewed)
    assert subprocess.run([sys.executable, "-c", ""], check=False).returncode == 0
