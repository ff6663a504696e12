"""A shop on this machine for the demo: it takes orders, and is busy at first."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop:
    """Answers the first order with 503, and each later one with 201. ``keys``: what each carried to know it again."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                shop.keys.append(self.headers.get("Idempotency-Key"))
                body = json.dumps({"id": 17}).encode()
                self.send_response(503 if len(shop.keys) == 1 else 201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """It has nothing to tell."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/orders"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
