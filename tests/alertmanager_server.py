"""A real Alertmanager on loopback for tests, and a server that plays whoever it pages."""

from __future__ import annotations

import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tests.kafka_broker import _die_with_parent, free_ports
from tests.waiting import wait_until

_CONFIG = """\
route:
  receiver: pager
  group_by: [alertname, model]
  group_wait: 100ms
  group_interval: 200ms
  repeat_interval: 1h
receivers:
  - name: pager
    webhook_configs:
      - url: "{pager}"
        send_resolved: true
"""


class Request(NamedTuple):
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request], tuple[int, Mapping[str, str]]]


class HttpServer:
    """Keeps what is posted to it; ``answer`` chooses status and headers."""

    def __init__(self, answer: Answer = lambda request: (200, {})) -> None:
        self.requests: list[Request] = []
        self.taken: list[Request] = []  # those answered with 200
        self.answer = answer
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                request = Request({k.lower(): v for k, v in self.headers.items()}, body)
                status, headers = server.answer(request)
                server.requests.append(request)
                if status == 200:
                    server.taken.append(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    def bodies(self) -> list[Any]:
        return [orjson.loads(request.body) for request in list(self.requests)]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def http_server(answer: Answer = lambda request: (200, {})) -> Iterator[HttpServer]:
    server = HttpServer(answer)
    try:
        yield server
    finally:
        server.close()


def program() -> str | None:
    """Alertmanager's program, under Debian's name or its own; None: it is not installed."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


class Alertmanager:
    """One Alertmanager with data of its own; not started yet.

    Args:
        folder: For its configuration and data.
        pager: Address that it notifies.
    """

    def __init__(self, folder: Path, pager: str) -> None:
        self._folder = folder / "alertmanager"
        self._folder.mkdir()
        (self._folder / "config.yml").write_text(_CONFIG.format(pager=pager))
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            program() or "prometheus-alertmanager",
            f"--config.file={self._folder / 'config.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call
            )
        wait_until(self._ready, 20, "Alertmanager is ready")

    def kill(self) -> None:
        """As ``kill -9`` does; it forgets its alerts."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def alerts(self) -> list[dict[str, Any]]:
        """Those that fire."""
        found: list[dict[str, Any]] = orjson.loads(self._get("/api/v2/alerts"))
        return found

    def _ready(self) -> bool:
        try:
            return bool(self._get("/-/ready"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310 - loopback
            body: bytes = answer.read()
        return body
