from __future__ import annotations

import asyncio

from roost.errors import LinkError
from roost.link import frames
from roost.link.frames import Frame, Hello, SocketMessage
from roost.link.memory import MemoryConnection, memory_pair

PEER = Hello(frames.VERSION, "gateway", 0, 7)
OWNER = Hello(frames.VERSION, "host", 3, 8)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def started(end: MemoryConnection) -> tuple[list[Frame], list[BaseException | None]]:
    received: list[Frame] = []
    lost: list[BaseException | None] = []
    end.start(received.extend, lost.append)
    return received, lost


async def test_frames_arrive_in_a_later_turn() -> None:
    peer, owner = memory_pair(PEER, OWNER)
    started(peer)
    received, _ = started(owner)
    await turns()
    peer.send(SocketMessage(1, "x"))
    assert received == [PEER]
    await turns()
    assert received == [PEER, SocketMessage(1, "x")]


async def test_frames_cross_as_bytes_so_that_nothing_is_shared() -> None:
    peer, owner = memory_pair(PEER, OWNER)
    received, _ = started(peer)
    sockets = [1, 2]
    owner.send(frames.Send(sockets, "x"))
    sockets.append(3)
    await turns()
    assert received == [OWNER, frames.Send([1, 2], "x")]


async def test_what_is_held_arrives_when_released() -> None:
    peer, owner = memory_pair(PEER, OWNER)
    received, lost = started(owner)
    owner.hold()
    peer.send(SocketMessage(1, "x"))
    peer.close()
    await turns()
    assert received == []
    assert lost == []
    owner.release()
    await turns()
    assert received == [PEER, SocketMessage(1, "x")]
    assert lost == [None]


async def test_a_lost_link_takes_along_what_was_under_way_and_tells_both_ends() -> None:
    peer, owner = memory_pair(PEER, OWNER)
    received, owner_lost = started(owner)
    _, peer_lost = started(peer)
    await turns()
    owner.hold()
    peer.send(SocketMessage(1, "x"))
    await turns()
    peer.lose()
    owner.release()
    await turns()
    assert received == [PEER]
    for lost in (owner_lost, peer_lost):
        assert [type(reason) for reason in lost] == [LinkError]


async def test_ends_are_named_for_the_other_one() -> None:
    peer, owner = memory_pair(PEER, OWNER)
    assert (peer.peername, owner.peername) == ("memory:host-3", "memory:gateway-0")
