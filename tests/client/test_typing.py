"""mypy in strict mode accepts right code of a user, and finds each mistake."""

import re
import subprocess
import sys
from pathlib import Path

RIGHT = """
import asyncio
from contextlib import aclosing
from typing import Any

import httpx2

import openpns
from openpns import AsyncClient, Client, RawRequest, Request

transport = httpx2.MockTransport(lambda request: httpx2.Response(200))


def send_raw(pns: Client, request: Request[str]) -> str:
    return pns.send(request)


def use_sync() -> list[str]:
    with Client("https://pns.example.com", "key", "secret", transport=transport) as pns:
        page: openpns.GroupPage = pns.groups.list(limit=10, offset=0)
        total: int = page.total
        new: str = pns.groups.create(["85211111114"], name="A")
        pns.groups.add_phones(new, "85235753351")
        envelope: dict[str, Any] = pns.send(RawRequest("newAction", {"total": total}))
        phones: list[str] = [phone for group in pns.groups.iterate() for phone in group.phones]
        found: openpns.GroupPage = pns.groups.find(name="A", order="newest", limit=10)
        details: openpns.GroupDetails = pns.groups.get(new)
        age: float = (details.updated - details.created).total_seconds()
        change: openpns.GroupChange = pns.groups.change(new, add=phones, dry_run=True)
        limit: openpns.Limit = pns.limits()["groups"]
        more: list[str] = [*pns.groups.phones(new), str(age), str(found.total)]
        return [*envelope, *phones, *more, str(limit.max), str(change.added)]


async def use_async() -> None:
    async with AsyncClient(profile="live", retries=0, timeout_s=5) as pns:
        page: openpns.GroupPage = await pns.groups.list()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pns.groups.delete(page.groups[0].group_id))
            tasks.create_task(pns.groups.rename(page.groups[0].group_id, name="B"))
        change: openpns.GroupChange = await pns.groups.change("g", remove="85211111114")
        phones: list[str] = [phone async for phone in pns.groups.phones("g")]
        print(change.count, phones, (await pns.limits())["numbers"].used)
        async with aclosing(pns.groups.iterate(phone="85211111114")) as groups:
            async for group in groups:
                name: str = group.name
                print(name)


def handle(error: openpns.OpenPNSError) -> str | None:
    if isinstance(error, openpns.WireError):
        code: int = error.code
        return f"{code} {error.msg} {error.http_status} {error.server_time}"
    if isinstance(error, openpns.TransportError):
        return error.request_id
    return None
"""

# The comment of a wrong line is the code of its error.
WRONG = """
import httpx2

import openpns


async def wrong(pns: openpns.Client, apns: openpns.AsyncClient) -> None:
    pns.groups.list(limit="x")  # arg-type
    pns.groups.list(count=1)  # call-arg
    await pns.groups.list()  # misc
    apns.groups.list().total  # attr-defined
    groups: list[str] = pns.groups.list().groups  # assignment
    pns.groups.find(order="upwards")  # arg-type
    pns.groups.find("A")  # call-arg
    pns.groups.rename(5)  # arg-type
    none: None = pns.groups.change("g", add="1")  # assignment
    pns.groups.create()  # call-arg
    pns.groups.delete(5)  # arg-type
    async for group in pns.groups.iterate():  # attr-defined
        pass
    for other in apns.groups.iterate():  # attr-defined
        pass
    openpns.Clinet()  # attr-defined
    openpns.AsyncClient(transport=httpx2.HTTPTransport())  # arg-type
    pns.groups.create(name="A", phones=5)  # arg-type
"""


def test_mypy_accepts_right_code_and_finds_wrong_code(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(RIGHT, "utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, "utf-8")
    options = ["--strict", "--config-file=", "--cache-dir=cache", "--no-error-summary"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "right.py", "wrong.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(\w+\.py):(\d+): error: .*\[([a-z-]+)\]$", run.stdout, re.MULTILINE)
    expected = [
        ("wrong.py", str(number), line.rpartition("  # ")[2])
        for number, line in enumerate(WRONG.splitlines(), start=1)
        if "  # " in line
    ]
    assert found == expected, run.stdout + run.stderr
