"""Static files, answered by the gateway itself.

Which file is meant is looked up at once, a few system calls. Its bytes are read by a thread, a piece at a time, the
next one when the client has taken the last: neither a slow disk nor a slow client holds up anybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from roost.assets import Assets
from roost.gateway.http1 import RequestHead
from roost.headers import Headers
from roost.observer import Observer


class Reader(Protocol):
    """The connection of the client that asked."""

    @property
    def keeps_alive(self) -> bool: ...

    @property
    def body_ended(self) -> bool: ...

    @property
    def is_writable(self) -> bool: ...

    def send_head(self, status: int, headers: list[tuple[str, str]], keep_alive: bool) -> None: ...

    def send(self, data: bytes) -> None: ...

    def send_file(self, sending: Sending) -> None:
        """Call `sending.go_on()` now and whenever the client has read what was sent, until it has finished."""

    def expect_reader(self) -> None: ...

    def finish(self, keep_alive: bool) -> None: ...

    def abort(self) -> None: ...


class StaticFiles:
    """The gateway's view of the assets of the application."""

    def __init__(self, assets: Assets, observer: Observer) -> None:
        self._assets = assets
        self._observer = observer

    def answer(self, client: Reader, head: RequestHead) -> bool:
        """Begin to answer with a file; False where the entrypoint is to be asked."""
        if head.method not in ("GET", "HEAD") or not head.target.startswith("/"):
            return False
        path, _, query = head.target.partition("?")
        found = self._assets.respond(head.method, path, Headers.trusted(head.headers), query)
        if found is None:
            return False
        keep_alive = client.keeps_alive and client.body_ended
        client.send_head(found.status, list(found.headers.items()), keep_alive)
        client.send_file(Sending(client, found.body, keep_alive, self._observer))
        return True


class Sending:
    """A file under way to a client."""

    def __init__(self, client: Reader, chunks: Iterator[bytes], keep_alive: bool, observer: Observer) -> None:
        self._client = client
        self._chunks = chunks
        self._keep_alive = keep_alive
        self._observer = observer
        self._reading: asyncio.Future[bytes] | None = None
        self._over = False

    def go_on(self) -> None:
        """Read the next piece, unless one is being read."""
        if self._reading is None and not self._over:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(None, next, self._chunks, b"")
            self._reading.add_done_callback(self._on_piece)

    def cancel(self) -> None:
        """The client has gone."""
        self._over = True

    def _on_piece(self, reading: asyncio.Future[bytes]) -> None:
        self._reading = None
        error = reading.exception()
        if self._over:
            return
        if error is not None:
            self._observer.report("gateway.file_failed", "a static file could not be read to its end", error)
            self._over = True
            self._client.abort()
            return
        piece = reading.result()
        if not piece:
            self._over = True
            self._client.finish(self._keep_alive)
            return
        self._client.send(piece)
        self._client.expect_reader()
        if self._client.is_writable:
            self.go_on()
