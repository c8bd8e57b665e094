"""Liveness over HTTP: ``/healthz`` answers as long as the worker's loop goes round."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SILENT_AFTER = 60.0  # seconds without a turn of the loop after which the process counts as stuck


class Health:
    """Holds the time of the loop's last turn; the server reads nothing else.

    Args:
        listen: ``host:port``; port 0 takes a free one.
    """

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._last = time.monotonic()
        health = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                silent = time.monotonic() - health._last
                known = self.path == "/healthz"
                self.send_response(404 if not known else 200 if silent < SILENT_AFTER else 503)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                if known:
                    self.wfile.write(f"last turn {silent:.1f} s ago\n".encode())

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged."""

        self._server = ThreadingHTTPServer((host or "127.0.0.1", int(port)), Answer)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True, name="health").start()

    def turn(self) -> None:
        """The loop has gone round once more."""
        self._last = time.monotonic()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
