"""Receive webhooks with Flask: verify, drop repeats, store each event once, answer.

    pip install 'openpns[webhooks]' flask
    export OPENPNS_WEBHOOK_SECRET=whsec_...   # during a rotation: both, with a comma between
    flask --app flask_receiver run --port 8000

Deliver to https://your.host/webhook. Handle the stored events later, such as in another process:
the sender waits for the answer, and tries again if it takes too long.
"""

import os
import sqlite3
from contextlib import closing

from flask import Flask, request

from openpns.webhooks import Event, Receiver, Repeats, WebhookError

FILE = os.environ.get("EVENTS_FILE", "events.db")

receiver = Receiver(os.environ["OPENPNS_WEBHOOK_SECRET"])
repeats = Repeats()
app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = receiver.body_bytes_max

with closing(sqlite3.connect(FILE)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS event (message_id TEXT PRIMARY KEY, kind TEXT, body)")


def store(event: Event, body: bytes) -> None:
    """Store an event; the key drops repeats after a restart, and between processes."""
    with closing(sqlite3.connect(FILE)) as db, db:
        db.execute(
            "INSERT OR IGNORE INTO event VALUES (?, ?, ?)", (event.message_id, event.kind, body)
        )


@app.post("/webhook")
def webhook() -> tuple[str, int]:
    """Answer 204 only after the event is on disk; any other answer makes the sender try again."""
    body = request.get_data()  # the raw bytes
    try:
        event = receiver.verify(body, request.headers)
        # An event counts as handled only if this block succeeds.
        with repeats.once(event.message_id) as is_new:
            if is_new:
                store(event, body)
    except WebhookError as error:
        return str(error), error.http_status
    return "", 204
