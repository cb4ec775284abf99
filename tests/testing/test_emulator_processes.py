"""The emulator where sockets are forbidden, and in programs that fork."""

import asyncio
import socket
import subprocess
import sys
from typing import Any

import pytest

from openpns.errors import ConfigError
from openpns.testing import Emulator


@pytest.mark.parametrize("name", ["socketpair", "getaddrinfo"])
def test_forbidden_sockets_raise_config_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no sockets in tests")

    monkeypatch.setattr(socket, name, refuse)
    # Python itself complains of an event loop without sockets.
    monkeypatch.setattr(asyncio.SelectorEventLoop, "__del__", lambda _: None, raising=False)
    pns = Emulator()
    with pytest.raises(ConfigError, match=r"cannot start \(RuntimeError: no sockets in tests\)"):
        pns.start()
    monkeypatch.undo()
    with pns:
        assert pns.groups() == []


FORK = """
import os, openpns
from openpns.testing import Emulator
with Emulator() as pns:
    child = os.fork()
    if child == 0:
        with openpns.Client(pns.base_url, pns.access_key, pns.access_secret) as client:
            client.groups.create(["85211111114"])
        try:
            pns.groups()
        except RuntimeError as error:
            print(error, flush=True)
        pns.stop()
        os._exit(0)
    os.waitpid(child, 0)
    print(len(pns.groups()))
"""


def test_forked_child_is_a_client_only() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == [
        "the emulator runs in the process that started it; send requests to its base_url",
        "1",
    ]
    assert (done.returncode, done.stderr) == (0, "")


LIVING_CHILD = """
import os, openpns
from openpns.testing import Emulator
wait, go = os.pipe()
with Emulator() as pns:
    arguments = (pns.base_url, pns.access_key, pns.access_secret)
    with openpns.Client(*arguments, retries=0, timeout_s=20) as client:
        client.groups.list()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(wait, 1)
            os._exit(0)
        pns.faults.drop_before_commit()
        try:
            client.groups.list()
        except openpns.ConnectionLost:
            print("dropped")
with openpns.Client(*arguments, retries=0, timeout_s=20) as client:
    try:
        client.groups.list()
    except openpns.ConnectFailed:
        print("stopped")
os.close(go)
os.waitpid(child, 0)
"""


def test_connections_end_although_a_child_lives() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", LIVING_CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["dropped", "stopped"]
    assert (done.returncode, done.stderr) == (0, "")


FOREIGN_FILES = """
import os, stat
from openpns.testing import Emulator

def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False

pns = Emulator()
pns.start()
reading, writing = os.pipe()
numbers = [number for number in range(3, 64) if is_socket(number)]
for number in numbers:
    os.dup2(writing, number)  # the file has the number of a socket of the emulator
child = os.fork()
if child == 0:
    kept = sum(os.path.sameopenfile(number, writing) for number in numbers)
    print(kept >= 3, kept == len(numbers), flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)  # the emulator cannot be stopped
"""


def test_forked_child_leaves_files_alone_that_have_the_numbers_of_sockets() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FOREIGN_FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.split(), done.stderr) == (["True", "True"], "")


FORK_AT_START = """
import os, sys, threading
from openpns.testing import Emulator

class Forking(Emulator):
    def _new_loop(self):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return super()._new_loop()

with Forking() as pns:
    print(len(pns.groups()))
"""


def test_program_may_fork_while_an_emulator_starts() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK_AT_START]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_child_of_a_fork_in_c_gives_up_the_sockets_at_its_first_use() -> None:
    program = LIVING_CHILD.replace("import os", "import ctypes, os", 1)
    program = program.replace("os.fork()", "ctypes.PyDLL(None).fork()")
    program = program.replace("os.close(go)\n", "pns.stop()\n            os.close(go)\n", 1)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["dropped", "stopped"]
    assert (done.returncode, done.stderr) == (0, "")


DELIVERING = """
import os, socket, threading
from openpns.testing import Emulator
wait, go = os.pipe()
hook = socket.create_server(("127.0.0.1", 0))
connections = []
def answer():
    connections.append(hook.accept()[0])
    connections[0].recv(65536)
    connections[0].sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
answering = threading.Thread(target=answer)
answering.start()
with Emulator() as pns:
    pns.set_webhook(f"http://127.0.0.1:{hook.getsockname()[1]}/")
    pns.add_test_event()
    print(pns.deliver(), flush=True)
    answering.join()
    child = os.fork()
    if child == 0:
        os.close(go)
        status = 0
        try:
            pns.deliver()
        except RuntimeError:
            status = 7
        os.read(wait, 1)
        os._exit(status)
connections[0].settimeout(20)
print(connections[0].recv(1))
os.close(go)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_living_child_keeps_no_connection_to_a_receiver() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", DELIVERING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["1", "b''", "7"]
    assert (done.returncode, done.stderr) == (0, "")
