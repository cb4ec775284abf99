"""Receive webhooks with FastAPI: verify, store each event once, answer.

    pip install 'openpns[webhooks]' fastapi uvicorn
    export OPENPNS_WEBHOOK_SECRET=whsec_...   # during a rotation: both, with a comma between
    uvicorn fastapi_receiver:app --port 8000

Deliver to https://your.host/webhook. Handle the stored events later, such as in another process:
the sender waits for the answer, and tries again if it takes too long.
"""

import os
import sqlite3
from contextlib import closing

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from openpns.webhooks import Receiver, WebhookError

FILE = os.environ.get("EVENTS_FILE", "events.db")

receiver = Receiver(os.environ["OPENPNS_WEBHOOK_SECRET"])
app = FastAPI()

with closing(sqlite3.connect(FILE)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS event (message_id TEXT PRIMARY KEY, kind TEXT, body)")


def store(message_id: str, kind: str, body: bytes) -> None:
    """Store an event; a repeat has the same id, and changes nothing."""
    with closing(sqlite3.connect(FILE)) as db, db:
        db.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?)", (message_id, kind, body))


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    """Answer 204 only after the event is on disk; any other answer makes the sender try again."""
    body = bytearray()
    async for chunk in request.stream():  # the raw bytes, and not more than verify reads
        body += chunk
        if len(body) > receiver.body_bytes_max:
            break
    try:
        event = receiver.verify(body, request.headers)
    except WebhookError as error:
        return Response(str(error), error.http_status)
    await run_in_threadpool(store, event.message_id, event.kind, bytes(body))
    return Response(status_code=204)
