"""The child's end of its control channel with the supervisor; see roost.supervisor.messages for the conversation."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections.abc import AsyncGenerator, Iterator

from roost.supervisor.messages import (
    LINE_BYTES_MAX,
    ControlError,
    FromChild,
    Start,
    Stop,
    ToChild,
    decode_to_child,
    encode,
)

ORPHANED = Stop(seconds=30.0)
"""What a child is told when nobody is there any more to tell it."""
ORPHAN_SPARE_SECONDS = 2.0  # beyond that; a child that user code blocks is then ended, since it may hold a lock


class Channel:
    """Speaks with the supervisor: blocking at first, on the loop from `messages` on."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._writer: asyncio.StreamWriter | None = None
        self._stopping = asyncio.Event()

    def read_start(self) -> Start:
        """The first message. Raises ControlError when it is another, EOFError when the supervisor is gone."""
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = self._control.recv(1)  # no more than the line: what follows is for the loop
            if not byte:
                raise EOFError("the supervisor has gone")
            line += byte
        message = decode_to_child(bytes(line))
        if not isinstance(message, Start):
            raise ControlError(f"the supervisor began with {type(message).__name__}, expected Start")
        return message

    def say(self, message: FromChild) -> None:
        """Tell the supervisor; one that has gone does not hear it."""
        if self._writer is not None:
            self._writer.write(encode(message))
        else:
            with contextlib.suppress(ConnectionError):
                self._control.sendall(encode(message))

    @contextlib.contextmanager
    def leaving_when_orphaned(self, grace_seconds: float = 0.0) -> Iterator[None]:
        """Within the block, which may run code that never returns, end the process when the supervisor is gone.

        `grace_seconds` is the time that the block then has to end by itself.
        """
        done, end = os.pipe()
        control = os.dup(self._control.fileno())  # the loop, which is given the other, closes it as it likes
        watcher = threading.Thread(
            target=_leave_when_hung_up, args=(control, done, grace_seconds), name="roost orphan watch", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            os.close(end)
            watcher.join()
            os.close(done)
            os.close(control)

    def stop(self) -> None:
        """As if the supervisor had said `Stop`: `messages` ends."""
        self._stopping.set()

    async def messages(self) -> AsyncGenerator[ToChild]:
        """What the supervisor says. When it is gone, or `stop` was called, the last message is ORPHANED."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._control, limit=LINE_BYTES_MAX)
        try:
            while (line := await self._line(reader)) is not None:
                yield decode_to_child(line)
            yield ORPHANED
        finally:
            self._writer.close()

    async def _line(self, reader: asyncio.StreamReader) -> bytes | None:
        reading = asyncio.ensure_future(reader.readuntil())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else None
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        finally:
            reading.cancel()
            stopping.cancel()


def _leave_when_hung_up(control: int, done: int, grace_seconds: float) -> None:
    poll = select.poll()
    poll.register(control, 0)  # 0: nothing but a hang-up, which is always told
    poll.register(done, 0)
    if done in dict(poll.poll()):
        return
    poll.unregister(control)
    if not poll.poll(grace_seconds * 1000):
        os._exit(0)


def take_standard_input() -> Channel:
    """The channel at standard input, which is empty from now on: neither the app nor its children may read from it."""
    control = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return Channel(control)
