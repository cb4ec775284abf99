"""Forked clients in front of a server that counts what each connection carries."""

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from tests.certificates import write_certificate
from tests.client import fork_programs
from tests.client.hostile_server import HostileServer, hostile, response

PAGE = response(b'{"code":0,"data":{"groups":[],"total":0}}')
PROGRAMS = {
    "sync": fork_programs.SYNC,
    "async": fork_programs.ASYNC,
    "between loops": fork_programs.BETWEEN_LOOPS,
    "sync, forked in C": fork_programs.in_c(fork_programs.SYNC),
    "between loops, forked in C": fork_programs.in_c(fork_programs.BETWEEN_LOOPS),
    "given transport": fork_programs.GIVEN_TRANSPORT,
}


def run(program: str, url: str) -> None:
    """Run a program; Python reports what it does not close."""
    # Newer versions warn of a fork with threads, which is what some programs are about.
    options = ["-W", "default::ResourceWarning", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *options, "-c", program, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def requests_of_connections(server: HostileServer) -> list[int]:
    return sorted(server.connections)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_forked_child_opens_a_connection_of_its_own(program: str) -> None:
    with hostile(PAGE) as server:
        run(program, server.url)
    assert requests_of_connections(server) == [1, 2]


@pytest.mark.parametrize("name", ["sync", "async", "between loops", "sync, forked in C"])
def test_forked_child_leaves_the_tls_session_of_its_parent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert_file, key_file = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(cert_file))
    with hostile(PAGE, context) as server:
        run(PROGRAMS[name], server.url)
    assert requests_of_connections(server) == [1, 2]


def test_forked_child_leaves_files_alone_that_have_the_numbers_of_connections() -> None:
    with hostile(PAGE) as server:
        run(fork_programs.CLOSED_DESCRIPTORS, server.url)
    assert requests_of_connections(server) == [1, 1, 1]


@pytest.mark.parametrize("name", ["HELD_LOCK", "HELD_LOCK_IN_C", "BUSY_THREADS"])
def test_forked_child_waits_for_no_lock_of_its_parent(name: str) -> None:
    with hostile(PAGE) as server:
        run(getattr(fork_programs, name), server.url)


def test_connection_that_the_parent_closes_ends_while_the_child_lives() -> None:
    program = """
import os, sys, openpns
client = openpns.Client(sys.argv[1], "key", "secret")
client.groups.list()
wait, go = os.pipe()
child = os.fork()
if child == 0:
    os.close(go)
    os.read(wait, 1)  # until the parent has closed its end
    os._exit(0)
client.close()
with openpns.Client(sys.argv[1], "key", "secret") as other:
    while other.limits()["groups"].used != 1:  # the connections that have ended
        pass
os.close(go)
os.close(wait)
sys.exit(os.waitpid(child, 0)[1])
"""
    limits = (
        b'{"code":0,"data":{"groups":[],"total":0,"limits":[{"name":"groups","max":9,"used":%d}]}}'
    )
    with hostile(lambda: [response(limits % len(server.ended))]) as server:
        run(program, server.url)
    assert requests_of_connections(server)[0] == 1
