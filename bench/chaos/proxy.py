"""A TCP proxy of our own: what stands between workers and a broker can be slow, cut or silent."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Final

CHUNK: Final = 65_536  # bytes


class _Pair:
    """A connection of a client and the one to the broker that belongs to it."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.client, self.broker = client, broker
        self.silent = False

    def close(self) -> None:
        for one in (self.client, self.broker):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Proxy:
    """Listens on ``port`` of loopback and passes on to ``target``.

    Attributes:
        port: That clients connect to.
        target: Port of loopback; 0: nothing is there yet.
        delay: Seconds that each chunk is held, each way.
    """

    def __init__(self) -> None:
        self.target = 0
        self.delay = 0.0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._holds: int | None = None
        self._held: tuple[socket.socket, bytes] | None = None
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def cut(self) -> int:
        """Close every connection, in the middle of whatever it does; how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.close()
        return len(pairs)

    def silence(self) -> int:
        """Half-open: no connection there is now brings anything any more, and none is closed."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.silent = True
        return len(pairs)

    def hold(self, api: int) -> None:
        """Keep the next request of that kind back; its client loses the connection over it."""
        self._holds = api

    @property
    def holding(self) -> bool:
        """Whether a request is kept back."""
        return self._held is not None

    def release(self) -> bool:
        """The request reaches the broker, however late; False: none was kept back."""
        held, self._held, self._holds = self._held, None, None
        if held is None:
            return False
        broker, request = held
        with suppress(OSError):
            broker.sendall(request)
        return True

    def heal(self) -> None:
        """No delay; connections that are silent stay so, as a lost route leaves them."""
        self.delay = 0.0

    def close(self) -> None:
        """End it."""
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            pair = _Pair(client, broker)
            with self._lock:
                self._pairs.add(pair)
            for ends in ((client, broker), (broker, client)):
                threading.Thread(target=self._pass, args=(pair, *ends), daemon=True).start()

    def _pass(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                # Clients write a request at once, so it begins with its length and its kind.
                if source is pair.client and int.from_bytes(data[4:6]) == self._holds:
                    self._holds, self._held = None, (sink, data)
                    source.shutdown(socket.SHUT_RDWR)
                    pair.silent = True
                    break
                if not pair.silent:
                    sink.sendall(data)
        if not pair.silent:
            with self._lock:
                self._pairs.discard(pair)
            pair.close()
        elif source is pair.client:
            pair.client.close()  # the broker does not hear of it
