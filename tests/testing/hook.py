"""A receiver of webhooks as a platform has it, in a thread of its own."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from openpns.clock import Clock
from openpns.webhooks import Event, Receiver, Repeats, WebhookError


class Hook:
    """It verifies, and handles each event once."""

    before: Callable[[], object] = staticmethod(lambda: None)
    """Called when a request has arrived."""

    def __init__(self, clock: Clock) -> None:
        self.secrets: list[str] = []
        self.statuses: list[int] = []  # of the next answers; 204 once they are used up
        self.attempts: list[tuple[Event, int]] = []
        self.events: list[Event] = []
        self._clock = clock
        self._repeats = Repeats()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(hook.handle(body, self.headers))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, body: bytes, headers: Any) -> int:
        self.before()
        try:
            event = Receiver(self.secrets, clock=self._clock).verify(body, headers)
        except WebhookError as error:
            return error.http_status
        status = self.statuses.pop(0) if self.statuses else 204
        self.attempts.append((event, status))
        if status == 204:
            with self._repeats.once(event.message_id) as is_new:
                if is_new:
                    self.events.append(event)
        return status
