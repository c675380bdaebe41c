from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from roost.errors import LinkError
from roost.link import frames
from roost.link.frames import Frame, Hello
from roost.link.session import Side
from roost.link.stream import StreamConnection, connect_unix, serve_unix

PEER = Hello(frames.VERSION, "gateway", 0, 7)
OWNER = Hello(frames.VERSION, "host", 3, 8)


def ignore(connection: StreamConnection) -> None:
    connection.start(lambda _: None, lambda _: None)


async def ended(connection: StreamConnection) -> None:
    """Close it and see both ends gone, so that no transport outlives the test."""
    connection.close()
    for _ in range(5):
        await asyncio.sleep(0)


def left_in(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_the_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "h.sock")
    server = await serve_unix(path, OWNER, ignore)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    server.close()


async def test_closing_removes_the_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "h.sock")
    server = await serve_unix(path, OWNER, ignore)
    server.close()
    assert left_in(tmp_path) == []
    server.close()


async def test_closing_leaves_the_successors_socket_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "h.sock")
    old = await serve_unix(path, OWNER, ignore)
    new = await serve_unix(path, OWNER, ignore)
    old.close()
    await ended(await connect_unix(path, PEER))
    new.close()


async def test_links_stay_when_the_server_closes(tmp_path: Path) -> None:
    path = str(tmp_path / "h.sock")
    accepted: asyncio.Future[StreamConnection] = asyncio.get_running_loop().create_future()
    server = await serve_unix(path, OWNER, accepted.set_result)
    peer = await connect_unix(path, PEER)
    arrived = asyncio.Event()
    received: list[Frame] = []

    def on_frames(batch: list[Frame]) -> None:
        received.extend(batch)
        if frames.Goodbye() in received:
            arrived.set()

    peer.start(on_frames, lambda _: None)
    owner = await accepted
    server.close()
    ignore(owner)
    owner.send(frames.Goodbye())
    await arrived.wait()
    assert received == [OWNER, frames.Goodbye()]
    await ended(peer)
    await ended(owner)


async def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "h.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with pytest.raises(ConnectionRefusedError):
        await connect_unix(path, PEER)
    server = await serve_unix(path, OWNER, ignore)
    await ended(await connect_unix(path, PEER))
    server.close()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "h.sock"
    path.write_text("precious")
    with pytest.raises(LinkError, match="a file that is no socket is there"):
        await serve_unix(str(path), OWNER, ignore)
    assert path.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(LinkError, match="may have 103 bytes"):
        await serve_unix("/tmp/" + "x" * 100, OWNER, ignore)


async def test_a_directory_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await serve_unix(str(tmp_path / "absent" / "h.sock"), OWNER, ignore)


async def test_nobody_listening_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await connect_unix(str(tmp_path / "h.sock"), PEER)


async def test_a_connection_needs_no_unix_socket() -> None:
    loop = asyncio.get_running_loop()
    received: list[Frame] = []
    arrived = asyncio.Event()
    owner = StreamConnection(Side.OWNER, OWNER, peername="tcp")
    server = await loop.create_server(lambda: owner, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, peer = await loop.create_connection(lambda: StreamConnection(Side.PEER, PEER), "127.0.0.1", port)

    def on_frames(batch: list[Frame]) -> None:
        received.extend(batch)
        arrived.set()

    owner.start(on_frames, lambda _: None)
    await arrived.wait()
    assert received == [PEER]
    await ended(peer)
    await ended(owner)
    server.close()
