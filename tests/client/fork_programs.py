"""Programs that use a client before and after a fork; the argument is the server's URL."""

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
