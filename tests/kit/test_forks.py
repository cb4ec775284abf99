import os
import socket
import subprocess
import sys
from collections.abc import Callable

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


C_FORK = """
import ctypes, os, threading, time
from openpns.kit.forks import renew_after_fork, renew_if_forked

class Renewed:
    def after_fork(self):
        time.sleep(0.05)  # other threads come in the meantime
        print("renewed", flush=True)

def use():
    renew_if_forked()
    os.write(1, b"used\\n")  # print() writes the end of the line apart

renewed = Renewed()
renew_after_fork(renewed)
renew_if_forked()
if ctypes.PyDLL(None).fork() == 0:  # as uWSGI forks
    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)
os.wait()
"""


def test_child_of_a_fork_in_c_renews_once_before_the_first_use() -> None:
    out = subprocess.check_output([sys.executable, "-c", C_FORK], text=True)
    assert out.split() == ["renewed", "used", "used", "used"]


FAILING = """
import os
from openpns.kit.forks import renew_after_fork, renew_if_forked

class Renewed:
    def __init__(self, name):
        self.name = name
        renew_after_fork(self)

    def after_fork(self):
        if self.name == "bad":
            raise OSError("cannot be renewed")
        print(self.name, flush=True)

objects = [Renewed("first"), Renewed("bad"), Renewed("last")]
if os.fork() == 0:
    try:
        renew_if_forked()
    except OSError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_object_that_cannot_be_renewed_cancels_no_other_and_cannot_be_used() -> None:
    command = [sys.executable, "-c", FAILING]
    out = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    assert out.splitlines() == ["first", "last", "first", "last", "cannot be renewed"]


def test_descriptor_that_was_given_up_reads_and_writes_nothing() -> None:
    first, second = socket.socketpair()
    with first, second:
        kept = socket.socket(fileno=os.dup(first.fileno()))  # as a parent's
        with kept:
            forks.Descriptor(first.fileno()).give_up()
            assert os.read(first.fileno(), 1) == b""
            assert os.write(first.fileno(), b"a") == 1
            assert not os.get_inheritable(first.fileno())
            kept.sendall(b"b")
        assert second.recv(9) == b"b"
        assert second.recv(9) == b""  # ended, although `first` is open


@pytest.fixture(params=[forks.Descriptor.close, forks.Descriptor.give_up])
def end(request: pytest.FixtureRequest) -> Callable[[forks.Descriptor], None]:
    found: Callable[[forks.Descriptor], None] = request.param
    return found


def test_closed_descriptor_is_ended_without_an_error(
    end: Callable[[forks.Descriptor], None],
) -> None:
    first, second = socket.socketpair()
    with second:
        descriptor = forks.Descriptor(first.fileno())
        first.close()
        end(descriptor)


def test_number_that_another_file_has_is_left_alone(
    end: Callable[[forks.Descriptor], None],
) -> None:
    first, second = socket.socketpair()
    with first, second:
        descriptor = forks.Descriptor(first.fileno())
        reading, writing = os.pipe()
        os.dup2(writing, first.fileno())
        os.close(writing)
        end(descriptor)
        assert os.write(first.fileno(), b"a") == 1
        assert os.read(reading, 1) == b"a"
        os.close(reading)


def test_descriptor_is_closed() -> None:
    first, second = socket.socketpair()
    with second:
        forks.Descriptor(first.detach()).close()
        assert second.recv(1) == b""
