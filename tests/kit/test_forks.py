import os
import socket
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


def test_descriptor_that_was_given_up_reads_and_writes_nothing() -> None:
    first, second = socket.socketpair()
    with first, second:
        kept = socket.socket(fileno=os.dup(first.fileno()))  # as a parent's
        with kept:
            forks.give_up(first.fileno())
            assert os.read(first.fileno(), 1) == b""
            assert os.write(first.fileno(), b"a") == 1
            assert not os.get_inheritable(first.fileno())
            kept.sendall(b"b")
        assert second.recv(9) == b"b"
        assert second.recv(9) == b""  # ended, although `first` is open


def test_closed_descriptor_is_given_up_without_an_error() -> None:
    forks.give_up(-1)
