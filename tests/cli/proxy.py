"""A proxy on loopback that can lose requests and responses, and change responses."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[dict[str, Any]], bool]

_REFUSAL = b'{"code":1002,"msg":"Parameter error: not known","requestId":"1"}'


def never(_: dict[str, Any]) -> bool:
    return False


class Proxy:
    """Forwards requests to a server on loopback; a rule matches a request's body."""

    def __init__(self, port: int) -> None:
        self.lose_request: Rule = never
        self.lose_answer: Rule = never
        self.refuse: Rule = never
        """Requests to answer with 1002, as a server does that does not know them."""
        self.date_moved_s: int | None = 0
        """Offset of the header Date, in seconds; None omits it."""
        self.page: bytes | None = None
        """A response to send instead of the server's."""
        self._server_port = port
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(content)
                if not proxy.lose_request(body):
                    status, answer = 200, _REFUSAL
                    if not proxy.refuse(body):
                        status, answer = proxy.forward(self.path, content, dict(self.headers))
                    if not proxy.lose_answer(body):
                        self._answer(status, answer)
                        return
                self.close_connection = True

            def _answer(self, status: int, answer: bytes) -> None:
                self.send_response_only(status)
                if proxy.date_moved_s is not None:
                    moved = time.time() + proxy.date_moved_s
                    self.send_header("Date", formatdate(moved, usegmt=True))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        return Handler

    def forward(self, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        if self.page is not None:
            return 200, self.page
        connection = http.client.HTTPConnection("127.0.0.1", self._server_port, timeout=30)
        try:
            connection.request("POST", path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
