from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from tests.gateway.fake_clock import settle, until

from roost.gateway import vital_signs
from roost.gateway.vital_signs import has_spoken, is_there, shows_life


def told(state: int = 1, unacked: int = 0, last_ack_ms: int = 0) -> bytes:
    info = bytearray(60)
    info[0] = state
    struct.pack_into("=I", info, 24, unacked)
    struct.pack_into("=I", info, 56, last_ack_ms)
    return bytes(info)


@pytest.mark.parametrize(
    ("info", "silent", "alive"),
    [
        (told(), None, True),
        (told(state=8), None, False),
        (told(state=7), 30.0, False),
        (told(unacked=1, last_ack_ms=31_000), None, True),
        (told(unacked=1, last_ack_ms=31_000), 30.0, False),
        (told(unacked=1, last_ack_ms=200), 30.0, True),
        (told(unacked=0, last_ack_ms=500_000), 30.0, True),
        (b"\x08", 30.0, True),
    ],
)
def test_what_the_kernel_tells_means_life_or_not(info: bytes, silent: float | None, alive: bool) -> None:
    assert shows_life(info, silent) is alive


async def test_a_connection_that_is_not_read_shows_when_the_other_end_has_gone() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        other = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
    transport.pause_reading()
    assert is_there(transport, None)
    assert is_there(transport, 0.0), "nothing is unacknowledged"
    other.close()
    await until(lambda: not is_there(transport, None))
    transport.abort()
    await settle()


async def test_where_the_system_does_not_tell_everybody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, here)
    assert is_there(transport, 0.0), "no TCP connection"
    monkeypatch.setattr(vital_signs, "_TCP_INFO", None)
    assert is_there(transport, 0.0)
    transport.abort()
    there.close()
    await settle()


async def test_what_was_sent_and_not_read_tells_that_it_has_spoken() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, here)
    transport.pause_reading()
    assert not has_spoken(transport)
    there.send(b"x")
    assert has_spoken(transport)
    assert has_spoken(transport), "nothing was taken away"
    transport.abort()
    await settle()
    assert not has_spoken(transport)
    there.close()


async def test_the_end_of_a_connection_is_nothing_said() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, here)
    transport.pause_reading()
    there.close()
    assert not has_spoken(transport)
    transport.abort()
    await settle()
