"""Programs that use a client before and after a fork; the argument is the server's URL."""


def in_c(program: str) -> str:
    """Return a program that forks without Python's hooks, as uWSGI does."""
    return f"import ctypes\n{program}".replace("os.fork()", "ctypes.PyDLL(None).fork()")


SYNC = """
import os, sys, openpns
client = openpns.Client(sys.argv[1], "key", "secret")
client.groups.list()
child = os.fork()
if child == 0:
    client.groups.list()
    client.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
client.groups.list()
client.close()
sys.exit(status)
"""

ASYNC = """
import asyncio, os, sys, openpns
client = openpns.AsyncClient(sys.argv[1], "key", "secret")

async def use():
    await client.groups.list()

async def parent():
    await client.groups.list()
    child = os.fork()
    if child == 0:
        asyncio.run(use())
        os._exit(0)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    await client.groups.list()
    return status

sys.exit(asyncio.run(parent()))
"""

BETWEEN_LOOPS = """
import asyncio, os, sys, openpns
client = openpns.AsyncClient(sys.argv[1], "key", "secret")

async def use():
    await client.groups.list()

with asyncio.Runner() as runner:
    runner.run(use())
    child = os.fork()
    if child == 0:
        asyncio.run(use())
        asyncio.run(client.close())
        os._exit(0)  # not through the end of the runner: that loop is the parent's
    _, status = os.waitpid(child, 0)
    runner.run(use())
sys.exit(status)
"""

GIVEN_TRANSPORT = SYNC.replace("import ", "import httpx2, ", 1).replace(
    '"secret")', '"secret", transport=httpx2.HTTPTransport())'
)

CLOSED_DESCRIPTORS = """
import os, sys, openpns
client = openpns.Client(sys.argv[1], "key", "secret")
client.groups.list()
os.closerange(3, 64)  # as a daemon does
files = [open(os.devnull, "w") for _ in range(8)]  # they get the numbers
other = openpns.Client(sys.argv[1], "key", "secret")
other.groups.list()
child = os.fork()
if child == 0:
    for file in files:
        print("written", file=file, flush=True)
    other.groups.list()
    os._exit(0)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""

BUSY_THREADS = """
import os, signal, sys, threading, openpns
client = openpns.Client(sys.argv[1], "key", "secret")
stop = threading.Event()

def hammer():
    while not stop.is_set():
        client.groups.list()

threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for a lock ends
        client.groups.list()
        os._exit(0)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
for thread in threads:
    thread.join()
client.close()
sys.exit(failed)
"""

HELD_LOCK = """
import os, signal, sys, threading, openpns
client = openpns.Client(sys.argv[1], "key", "secret")
client.groups.list()
locks = [client._exchanger._timestamps._lock, client._connections._lock]
held, release = threading.Event(), threading.Event()

def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    release.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    client.groups.list()
    os._exit(0)
status = os.waitpid(child, 0)[1]
release.set()
thread.join()
client.close()
sys.exit(status != 0)
"""

HELD_LOCK_IN_C = in_c(HELD_LOCK)
