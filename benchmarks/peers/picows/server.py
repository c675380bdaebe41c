"""The peer: a WebSocket server of picows on uvloop, without objects, storage or a second process.

    python benchmarks/peers/picows/server.py

`/echo` answers each message with itself. `/send` is a room in which each message is sent to every other member with one
`send` each, as the examples of picows do it. `/broadcast` is the same room with one write per member per turn of the
loop, which is the most that this library gives.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


class SendingMember(WSListener):
    """A member of a room that sends to each other member at once."""

    def __init__(self, room: set[WSTransport]) -> None:
        self.room = room

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.room.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.room.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_bytes()
        for member in self.room:
            if member is not transport:
                member.send(WSMsgType.TEXT, message)


class JoiningRoom:
    """A room that collects the messages of a turn, and writes them to each member in one piece."""

    def __init__(self) -> None:
        self.members: set[WSTransport] = set()
        self.turn: list[tuple[WSTransport, bytes]] = []

    def say(self, sender: WSTransport, message: bytes) -> None:
        if not self.turn:
            asyncio.get_running_loop().call_soon(self.flush)
        self.turn.append((sender, framed(message)))

    def flush(self) -> None:
        turn, self.turn = self.turn, []
        whole = b"".join(frame for _, frame in turn)
        senders = {sender for sender, _ in turn}
        for member in self.members:
            own = member in senders
            joined = b"".join(frame for sender, frame in turn if sender is not member) if own else whole
            if joined:
                member.underlying_transport.write(joined)


class JoiningMember(WSListener):
    def __init__(self, room: JoiningRoom) -> None:
        self.room = room

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.room.members.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.room.members.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.room.say(transport, frame.get_payload_as_bytes())


sending: defaultdict[str, set[WSTransport]] = defaultdict(set)
joining: defaultdict[str, JoiningRoom] = defaultdict(JoiningRoom)


def framed(message: bytes) -> bytes:
    """A text frame from a server (RFC 6455 section 5.2)."""
    size = len(message)
    head = bytes((0x81, size)) if size < 126 else bytes((0x81, 126)) + size.to_bytes(2, "big")
    return head + message


def listener(request: WSUpgradeRequest) -> WSListener:
    room = request.path.decode()
    if room.startswith("/echo"):
        return Echo()
    return SendingMember(sending[room]) if room.startswith("/send") else JoiningMember(joining[room])


async def serve() -> None:
    server = await ws_create_server(listener, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
