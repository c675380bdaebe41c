"""Three readers of what a client sends: ours, that of `websockets` and that of `wsproto`, and what each makes of it.

An outcome is a list: `("text", str)`, `("binary", bytes)`, `("ping", bytes)`, `("pong", bytes)`, and as the last one,
if anything ended it, `("close", code or None, reason)` or `("fail", code)`.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import Any

import websockets.exceptions
import wsproto.connection
import wsproto.events
import wsproto.extensions
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.deflate import Deflate
from roost.gateway.extensions import read_extensions
from roost.gateway.fragments import Allowance
from roost.gateway.message_reader import MessageReader
from roost.limits import Limits

Outcome = list[tuple[Any, ...]]
Peer = Callable[[Iterable[bytes], str], Outcome]

MESSAGE_BYTES_MAX = 2_000
NONE, FRESH, KEPT = "no extension", "deflate, no window is kept", "deflate, windows are kept"
MODES = (NONE, FRESH, KEPT)


class _Heard:
    """A Listener that makes an outcome."""

    def __init__(self, coding: Coding) -> None:
        self.outcome: Outcome = []
        self.coding = coding

    def on_message(self, data: str | bytes, size: int) -> None:
        assert size == len(data.encode() if isinstance(data, str) else data)
        self.outcome.append(("text" if isinstance(data, str) else "binary", data))

    def on_part(self) -> None:
        pass

    def on_ping(self, payload: bytes) -> None:
        self.outcome.append(("ping", payload))

    def on_pong(self, payload: bytes) -> None:
        self.outcome.append(("pong", payload))

    def on_close(self, code: int | None, reason: str) -> None:
        self.outcome.append(("close", code, reason))

    def on_breach(self, code: int, message: str) -> None:
        self.outcome.append(("fail", code))

    def on_lost(self) -> None:
        pass

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


def _coding(mode: str) -> Coding:
    if mode == NONE:
        return PLAIN
    limits = Limits(deflate_contexts_bytes_max=1 << 30 if mode == KEPT else 0)
    agreed = Deflate(limits).agree(read_extensions(["permessage-deflate"]))
    assert agreed is not None, "an offer without parameters is taken"
    return agreed[1]


def ours(parts: Iterable[bytes], mode: str) -> Outcome:
    heard = _Heard(_coding(mode))
    reader = MessageReader(heard, MESSAGE_BYTES_MAX, Allowance(1 << 30))
    for part in parts:
        reader.feed(part)
    return heard.outcome


def by_websockets(parts: Iterable[bytes], mode: str) -> Outcome:
    protocol = ServerProtocol(state=State.OPEN, max_size=MESSAGE_BYTES_MAX)
    if mode != NONE:
        protocol.extensions = [PerMessageDeflate(mode == FRESH, mode == FRESH, 15, 15)]
    outcome: Outcome = []
    message = _Joined()
    for part in parts:
        protocol.receive_data(part)
        for frame in protocol.events_received():
            if not message.take(frame, outcome):  # type: ignore[arg-type]  # events of an open connection are frames
                return outcome
        if protocol.parser_exc is not None:
            assert protocol.close_sent is not None, "it fails the connection"
            return [*outcome, ("fail", protocol.close_sent.code)]
    return outcome


class _Joined:
    """Joins what websockets leaves to its callers: frames to messages, bytes to texts."""

    def __init__(self) -> None:
        self._pieces: list[Any] | None = None
        self._decoder: codecs.IncrementalDecoder | None = None

    def take(self, frame: websockets.frames.Frame, outcome: Outcome) -> bool:
        """Whether there is anything after it."""
        data = bytes(frame.data)
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            outcome.append((frame.opcode.name.lower(), data))
        elif frame.opcode is Opcode.CLOSE:
            outcome.append(("close", int.from_bytes(data[:2], "big") if data else None, data[2:].decode()))
            return False
        else:
            if frame.opcode is not Opcode.CONT:
                self._decoder = codecs.getincrementaldecoder("utf-8")() if frame.opcode is Opcode.TEXT else None
                self._pieces = []
            return self._add(data, frame.fin, outcome)
        return True

    def _add(self, data: bytes, final: bool, outcome: Outcome) -> bool:
        assert self._pieces is not None, "websockets checks the order of fragments"
        try:
            self._pieces.append(data if self._decoder is None else self._decoder.decode(data, final))
        except UnicodeDecodeError:
            outcome.append(("fail", 1007))
            return False
        if final:
            text = self._decoder is not None
            outcome.append(("text", "".join(self._pieces)) if text else ("binary", b"".join(self._pieces)))
        return True


def by_wsproto(parts: Iterable[bytes], mode: str) -> Outcome:
    extensions: list[wsproto.extensions.Extension] = []
    if mode != NONE:
        flags = "; server_no_context_takeover; client_no_context_takeover" if mode == FRESH else ""
        deflate = wsproto.extensions.PerMessageDeflate()
        deflate.accept("permessage-deflate" + flags)
        extensions.append(deflate)
    connection = wsproto.connection.Connection(wsproto.connection.ConnectionType.SERVER, extensions)
    outcome: Outcome = []
    pieces: list[Any] = []
    for part in parts:
        connection.receive_data(part)
        for event in connection.events():
            if isinstance(event, wsproto.events.CloseConnection):
                return [*outcome, _end(connection, event)]
            if isinstance(event, wsproto.events.Ping | wsproto.events.Pong):
                outcome.append((type(event).__name__.lower(), bytes(event.payload)))
            elif isinstance(event, wsproto.events.TextMessage | wsproto.events.BytesMessage):
                pieces.append(event.data)
                if event.message_finished:
                    text = isinstance(event, wsproto.events.TextMessage)
                    outcome.append(("text", "".join(pieces)) if text else ("binary", b"".join(pieces)))
                    pieces = []
    return outcome


def _end(connection: wsproto.connection.Connection, event: wsproto.events.CloseConnection) -> tuple[Any, ...]:
    """A Close frame changes its state; a breach does not, and is told with the same event."""
    if connection.state is wsproto.connection.ConnectionState.OPEN:
        return ("fail", int(event.code))
    return ("close", None if event.code == 1005 else int(event.code), event.reason or "")


PEERS: dict[str, Peer] = {"websockets": by_websockets, "wsproto": by_wsproto}
