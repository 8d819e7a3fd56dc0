"""A receiver of alerts that fails on purpose."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Answers with ``answers`` in turn, then with 204: a status, or "drop" to close the connection."""

    def __init__(self, *answers: int | str, port: int = 0) -> None:
        self.taken: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        left, receiver = list(answers), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.append(
                    (self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                answer = left.pop(0) if left else 204
                if isinstance(answer, str):
                    self.connection.close()
                    return
                self.send_response(answer)
                if answer == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                if answer == 204:
                    receiver.taken.append(json.loads(body))

            do_GET = do_POST  # noqa: N815 - the base class's own way to name methods

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self.server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}/hook?token=hidden"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
