"""One attempt at each kind of target, against servers on loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from alerts.board import Board, News
from alerts.drill import opened
from alerts.events import encode
from alerts.webhook import signature_headers, signing_key
from consumer.settings_bridges import BridgeSettings
from consumer.target_errors import Refused, Unavailable
from consumer.targets import address, target
from tests.alertmanager_server import HttpServer, Request, http_server
from tests.kafka_broker import free_ports
from tests.waiting import wait_until

T0 = 1_795_489_200_000_000
SECRET = "hunter2-do-not-show"  # noqa: S105 - it is none
SECOND = 1_000_000


def news() -> News:
    event = opened("app", "fraud", "critical", {"team": "risk"}, T0, "1")
    found = Board(()).apply(event, encode(event), T0)
    assert found is not None
    return found


def bridge(kind: str, url: str | tuple[str, ...], **more: Any) -> BridgeSettings:
    return BridgeSettings.model_validate({"name": "b", "kind": kind, "url": url, **more})


def send(to: BridgeSettings) -> None:
    target(to, "app").send(news(), T0)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as one:
        yield one


def answers(status: int, headers: Mapping[str, str] | None = None) -> Callable[[Request], Any]:
    return lambda request: (status, headers or {})


# --- HTTP ---------------------------------------------------------------------------------------


def test_a_webhook_gets_the_event_and_can_verify_who_sent_it(server: HttpServer) -> None:
    send(bridge("webhook", f"{server.url}hook?x=1", secret=SecretStr(SECRET)))
    (request,) = server.requests
    assert request.body == news().value
    assert request.headers["ce-type"] == "io.streamgauge.incident.opened"
    stamp = request.headers["webhook-timestamp"]
    assert int(stamp) == T0 // SECOND
    expected = signature_headers(signing_key(SECRET), news().event.id, T0 // SECOND, request.body)
    assert expected.items() <= request.headers.items()


def test_a_webhook_may_get_what_alertmanager_would_send(server: HttpServer) -> None:
    send(bridge("webhook", server.url, format="alertmanager"))
    (body,) = server.bodies()
    assert (body["version"], body["status"], body["receiver"]) == ("4", "firing", "b")


def test_credentials(server: HttpServer) -> None:
    send(bridge("webhook", server.url, token=SecretStr("t0ken")))
    send(bridge("webhook", server.url, username="u", password=SecretStr("p")))
    assert [one.headers["authorization"] for one in server.requests] == [
        "Bearer t0ken",
        "Basic dTpw",
    ]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (413, Refused),
        (422, Refused),
        (401, Unavailable),
        (403, Unavailable),
        (404, Unavailable),
        (408, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_what_a_status_means(server: HttpServer, status: int, error: type[Exception]) -> None:
    server.answer = answers(status)
    with pytest.raises(error, match=f"status {status}"):
        send(bridge("webhook", server.url))


def test_a_server_that_asks_to_wait_is_obeyed(server: HttpServer) -> None:
    server.answer = answers(429, {"retry-after": "7"})
    with pytest.raises(Unavailable) as caught:
        send(bridge("webhook", server.url))
    assert caught.value.after == 7


def test_a_redirect_is_not_followed(server: HttpServer) -> None:
    with http_server() as elsewhere:
        server.answer = answers(307, {"location": elsewhere.url})
        with pytest.raises(Unavailable, match="redirect, which is not followed; correct url"):
            send(bridge("webhook", server.url))
        assert not elsewhere.requests


def test_no_error_shows_a_secret() -> None:
    """Not even when the server repeats what it was sent."""

    with raw_server(lambda request: b"HTTP/1.1 400 no\r\n\r\n" + request) as port:
        url = f"http://127.0.0.1:{port}/{SECRET}"
        for error, to in (
            (Refused, bridge("webhook", f"http://127.0.0.1:{port}/", token=SecretStr(SECRET))),
            (Unavailable, bridge("webhook", f"http://127.0.0.1:{free_ports(1)[0]}/{SECRET}")),
        ):
            with pytest.raises(error) as caught:
                send(to)
            assert SECRET not in str(caught.value)
    assert SECRET not in address(url)
    assert SECRET not in repr(bridge("webhook", "http://h/", secret=SecretStr(SECRET)))


def test_a_server_that_drips_is_cut_off() -> None:
    end = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65_536)
        while not end.wait(0.05):
            connection.sendall(b"H")

    with listening(drip) as port:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="no answer: none within"):
            send(bridge("webhook", f"http://127.0.0.1:{port}/", timeout=300_000))
        assert time.monotonic() - begun < 2
        end.set()


def test_one_replica_of_alertmanager_is_enough(server: HttpServer) -> None:
    away = f"http://127.0.0.1:{free_ports(1)[0]}"
    send(bridge("alertmanager", (away, server.url)))
    assert server.bodies()[0][0]["labels"]["alertname"] == "StreamgaugeTest"
    with pytest.raises(Unavailable):
        send(bridge("alertmanager", (away,)))
    server.answer = answers(400)
    with pytest.raises(Unavailable):  # the other one may take it yet
        send(bridge("alertmanager", (away, server.url)))
    with pytest.raises(Refused):
        send(bridge("alertmanager", (server.url,)))


# --- syslog -------------------------------------------------------------------------------------


@contextmanager
def listening(
    serve: Callable[[socket.socket], None], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A TCP server for one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    with connection:
                        if context is None:
                            serve(connection)
                        else:
                            with context.wrap_socket(connection, server_side=True) as secure:
                                serve(secure)
                except OSError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@contextmanager
def raw_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    def serve(connection: socket.socket) -> None:
        connection.sendall(answer(connection.recv(65_536)))

    with listening(serve) as port:
        yield port


def collector(received: list[bytes]) -> Callable[[socket.socket], None]:
    """Reads to the end, as a syslog server does, and then closes."""

    def serve(connection: socket.socket) -> None:
        data = b""
        while part := connection.recv(4_096):
            data += part
        received.append(data)

    return serve


def check(data: bytes) -> None:
    count, _, message = data.partition(b" ")
    assert len(message) == int(count)
    assert message.startswith(b"<134>1 2026-11-24T03:00:00.000Z ")
    assert b'model="fraud"' in message


def test_syslog_over_tcp() -> None:
    received: list[bytes] = []
    with listening(collector(received)) as port:
        send(bridge("syslog", f"tcp://127.0.0.1:{port}"))
        wait_until(lambda: received, 5, "the server has it")
    check(received[0])
    with pytest.raises(Unavailable, match="refused"):
        send(bridge("syslog", f"tcp://127.0.0.1:{port}"))


def test_a_syslog_server_that_hangs_up_has_not_taken_it() -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with listening(reset) as port, pytest.raises(Unavailable):
        send(bridge("syslog", f"tcp://127.0.0.1:{port}"))


def test_syslog_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        send(bridge("syslog", f"udp://127.0.0.1:{server.getsockname()[1]}"))
        message = server.recv(65_536)
    check(b"%d %s" % (len(message), message))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


def test_syslog_over_tls(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    received: list[bytes] = []
    with listening(collector(received), context) as port:
        send(bridge("syslog", f"tls://localhost:{port}", ca_file=certificate[0]))
        wait_until(lambda: received, 5, "the server has it")
        with pytest.raises(Unavailable, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            send(bridge("syslog", f"tls://localhost:{port}"))
        with pytest.raises(Unavailable, match="TLS: CERTIFICATE_VERIFY_FAILED"):
            send(bridge("syslog", f"tls://127.0.0.1:{port}", ca_file=certificate[0]))
    check(received[0])
    assert len(received) == 1


# --- what a dry run shows -----------------------------------------------------------------------


def test_what_would_be_sent_is_shown_without_secrets() -> None:
    secret = SecretStr(SECRET)
    shown = [
        target(one, "app").shown(news(), T0)
        for one in (
            bridge("alertmanager", "http://am:9093", token=secret),
            bridge("webhook", f"https://hooks.example/{SECRET}", secret=secret),
            bridge("syslog", "udp://console:514"),
        )
    ]
    assert not [text for text in shown if SECRET in text]
    assert shown[0].startswith("POST http://am:9093/api/v2/alerts\n[{")
    assert shown[1].startswith("POST https://hooks.example\nce-specversion: 1.0\n")
    assert shown[2].startswith("udp://console:514\n<134>1 2026-11-24T03:00:00.000Z ")
    assert orjson.loads(shown[1].rpartition("\n")[2])["model"] == "fraud"
