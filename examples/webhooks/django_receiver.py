"""Receive webhooks with Django, in one file: verify, store each event once, answer.

    pip install 'openpns[webhooks]' django
    export OPENPNS_WEBHOOK_SECRET=whsec_...   # during a rotation: both, with a comma between
    python django_receiver.py runserver 8000

Deliver to https://your.host/webhook. In a project, only `webhook` and its line in `urlpatterns`
are needed, and a model with a unique id instead of `store`. Handle the stored events later, such as
in another process: the sender waits for the answer, and tries again if it takes too long.
"""

import os
import sqlite3
import sys
from contextlib import closing

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from openpns.webhooks import Receiver, WebhookError

FILE = os.environ.get("EVENTS_FILE", "events.db")

receiver = Receiver(os.environ["OPENPNS_WEBHOOK_SECRET"])
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(","),
    DATA_UPLOAD_MAX_MEMORY_SIZE=receiver.body_bytes_max,
)

with closing(sqlite3.connect(FILE)) as db:
    db.execute("CREATE TABLE IF NOT EXISTS event (message_id TEXT PRIMARY KEY, kind TEXT, body)")


def store(message_id: str, kind: str, body: bytes) -> None:
    """Store an event; a repeat has the same id, and changes nothing."""
    with closing(sqlite3.connect(FILE)) as db, db:
        db.execute("INSERT OR IGNORE INTO event VALUES (?, ?, ?)", (message_id, kind, body))


@csrf_exempt  # the signature proves the sender
@require_POST
def webhook(request: HttpRequest) -> HttpResponse:
    """Answer 204 only after the event is on disk; any other answer makes the sender try again."""
    try:
        event = receiver.verify(request.body, request.headers)  # the raw bytes
    except WebhookError as error:
        return HttpResponse(str(error), status=error.http_status, content_type="text/plain")
    store(event.message_id, event.kind, request.body)
    return HttpResponse(status=204)


urlpatterns = [path("webhook", webhook)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
