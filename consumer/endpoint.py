"""What a worker answers over HTTP: ``/healthz``, ``/readyz`` and ``/metrics``.

A thread serves it; it reads what the loop last wrote and holds nothing up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SILENT_AFTER = 60.0  # seconds without a turn of the loop after which the process counts as stuck
PLAIN = "text/plain; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Endpoint:
    """Holds the time of the loop's last turn, and asks the two functions when it is asked.

    Args:
        listen: ``host:port``; port 0 takes a free one.
        ready: Whether the worker has begun with everything that it was given.
        metrics: The answer to a scrape.

    Raises:
        OSError: Nothing can listen there.
    """

    def __init__(
        self, listen: str, ready: Callable[[], bool], metrics: Callable[[], bytes]
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._last = time.monotonic()
        self._ready, self._metrics = ready, metrics
        endpoint = self

        class Answer(BaseHTTPRequestHandler):
            timeout = 10  # seconds a client may take to ask

            def do_GET(self) -> None:
                status, kind, body = endpoint._answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not logged."""

        self._server = ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), Answer)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True, name="endpoint").start()

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        silent = time.monotonic() - self._last
        alive = silent < SILENT_AFTER
        if path == "/healthz":
            return 200 if alive else 503, PLAIN, f"last turn {silent:.1f} s ago\n".encode()
        if path == "/readyz":
            ready = alive and self._ready()
            text = "ready" if ready else "partitions are not begun yet" if alive else "stuck"
            return 200 if ready else 503, PLAIN, f"{text}\n".encode()
        if path == "/metrics":
            return 200, EXPOSITION, self._metrics()
        return 404, PLAIN, b"there are /healthz, /readyz and /metrics\n"

    def turn(self) -> None:
        """The loop has gone round once more."""
        self._last = time.monotonic()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
