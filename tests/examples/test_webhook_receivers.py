"""The examples of receivers as real processes, against signed deliveries good and bad."""

import base64
import http.client
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.webhooks.vectors import OTHER_SECRET, RECORD, SECRET, TEST, VECTORS, headers_of

from openpns.clock import now_ms
from openpns.webhooks import signed_headers

FOLDER = Path(__file__).parents[2] / "examples" / "webhooks"
BODY = RECORD["body"].encode()
NEW_SECRET = "whsec_" + base64.b64encode(bytes(range(100, 132))).decode()
_WSGI = (
    "from wsgiref.simple_server import make_server\n"
    "import django_receiver\n"
    "server = make_server('127.0.0.1', 0, django_receiver.application)\n"
    "print(f'http://127.0.0.1:{server.server_port}/webhook', flush=True)\n"
    "server.serve_forever()"
)
COMMANDS = {
    "fastapi": [sys.executable, "-m", "uvicorn", "fastapi_receiver:app", "--port", "0"],
    "flask": [sys.executable, "-m", "flask", "--app", "flask_receiver", "run", "--port", "0"],
    "django": [sys.executable, "-c", _WSGI],
    "node": ["node", "node_receiver.mjs"],
}
NO_NODE = "node is not installed"


class Example:
    """A running example, and the file where it stores events."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._file = folder / "events"
        self._log = folder / "log"
        self._start()

    def _start(self) -> None:
        environ = os.environ | {
            "OPENPNS_WEBHOOK_SECRET": f"{NEW_SECRET},{SECRET}",
            "EVENTS_FILE": str(self._file),
            "PORT": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(FOLDER), os.environ.get("PYTHONPATH", "")])
            ),
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                COMMANDS[self.name], cwd=FOLDER, env=environ, stdout=log, stderr=log
            )
        for _ in range(1200):
            found = re.search(r"http://127\.0\.0\.1:([0-9]+)", self._log.read_text("utf-8"))
            if found:
                self.port = int(found[1])
                return
            assert self._process.poll() is None, self._log.read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError(f"{self.name} does not start: {self._log.read_text('utf-8')}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def restart(self) -> None:
        self.stop()
        self._start()

    def send(self, body: bytes, headers: list[tuple[str, str]], path: str = "/webhook") -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.putrequest("POST", path)
            for name, value in headers:
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            return connection.getresponse().status

    def stored(self, message_id: str) -> list[bytes]:
        """Return the bodies that are stored of an event."""
        if self.name == "node":
            lines = map(json.loads, self._file.read_text("utf-8").splitlines())
            return [line["body"].encode() for line in lines if line["id"] == message_id]
        with closing(sqlite3.connect(self._file)) as db:
            query = "SELECT body FROM event WHERE message_id = ?"
            return [body for (body,) in db.execute(query, (message_id,))]


@pytest.fixture(scope="module", params=COMMANDS)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Example]:
    if request.param == "node" and not shutil.which("node"):
        pytest.skip(NO_NODE)
    made = Example(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.stop()


def headers(
    message_id: str, body: bytes = BODY, secrets: str = SECRET, late_s: int = 0
) -> list[tuple[str, str]]:
    sent_s = now_ms() // 1000 - late_s
    made = signed_headers(body, secrets, message_id=message_id, timestamp_s=sent_s)
    return list(made.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_example_exists(name: str) -> None:
    (file,) = FOLDER.glob(f"{name}_receiver.*")
    assert "OPENPNS_WEBHOOK_SECRET" in file.read_text("utf-8")


def test_event_is_stored_byte_for_byte(example: Example) -> None:
    body = TEST["body"].replace('"test"', '"测试"', 1).encode() + b"\n "
    assert example.send(body, headers("msg_good", body)) == 204
    assert example.stored("msg_good") == [body]


def test_repeat_is_accepted_and_stored_once(example: Example) -> None:
    for late_s in (20, 10, 0):
        assert example.send(BODY, headers("msg_again", late_s=late_s)) == 204
    assert example.stored("msg_again") == [BODY]


def test_repeat_after_a_restart_is_stored_once(example: Example) -> None:
    assert example.send(BODY, headers("msg_restart")) == 204
    example.restart()
    assert example.send(BODY, headers("msg_restart")) == 204
    assert example.stored("msg_restart") == [BODY]


def test_both_secrets_of_a_rotation_are_accepted(example: Example) -> None:
    assert example.send(BODY, headers("msg_old", secrets=SECRET)) == 204
    assert example.send(BODY, headers("msg_new", secrets=NEW_SECRET)) == 204
    both = f"{OTHER_SECRET},{NEW_SECRET}"
    assert example.send(BODY, headers("msg_both", secrets=both)) == 204
    assert [len(example.stored(f"msg_{one}")) for one in ("old", "new", "both")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("tampered", 401),
        ("other secret", 401),
        ("too old", 401),
        ("too new", 401),
        ("unsigned", 400),
        ("malformed", 400),
        ("id twice", 400),
    ],
)
def test_bad_delivery_is_refused_and_not_stored(example: Example, fault: str, status: int) -> None:
    message_id = f"msg_{fault.replace(' ', '_')}"
    sent = {
        "tampered": headers(message_id, BODY.replace(b"35", b"36")),
        "other secret": headers(message_id, secrets=OTHER_SECRET),
        "too old": headers(message_id, late_s=400),
        "too new": headers(message_id, late_s=-400),
        "unsigned": [("webhook-id", message_id)],
        "malformed": [
            (name, "v1" if name == "webhook-signature" else value)
            for name, value in headers(message_id)
        ],
        "id twice": [*headers(message_id), ("Webhook-Id", message_id)],
    }[fault]
    assert example.send(BODY, sent) == status
    assert example.stored(message_id) == []


def test_body_that_is_too_large_is_refused(example: Example) -> None:
    body = b'{"a": "' + b"x" * (1 << 20) + b'"}'
    # It may be refused before all of it was sent.
    with suppress(BrokenPipeError, ConnectionResetError):
        assert example.send(body, headers("msg_large", body)) in (400, 413)
    assert example.stored("msg_large") == []


_CHECK_VECTORS = """
import { readSecrets, verify } from "./node_receiver.mjs";
const vectors = JSON.parse(process.argv[1]);
for (const { secret, headers, body, nowS } of vectors) {
  try {
    console.log(verify(Buffer.from(body), headers, readSecrets(secret), nowS));
  } catch (error) {
    console.log(error.status);
  }
}
"""


@pytest.mark.skipif(not shutil.which("node"), reason=NO_NODE)
def test_node_example_verifies_the_vectors() -> None:
    given, expected = [], []
    for vector in VECTORS:
        at_s = int(vector["timestamp"])
        good = {"secret": vector["secret"], "headers": headers_of(vector), "body": vector["body"]}
        given += [
            good | {"nowS": at_s + 300},
            good | {"nowS": at_s - 301},
            good | {"nowS": at_s, "body": vector["body"] + " "},
            good | {"nowS": at_s, "secret": f"{NEW_SECRET} {vector['secret']}"},
        ]
        expected += [vector["id"], "401", "401", vector["id"]]
    command = ["node", "--input-type=module", "-e", _CHECK_VECTORS, json.dumps(given)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.stdout.split() == expected, done.stderr
