"""Links inside one process: the same session and encoding as between processes, with knobs for tests."""

from __future__ import annotations

from collections import deque

from roost.errors import LinkError
from roost.limits import DEFAULTS, Limits
from roost.link.connection import SessionConnection
from roost.link.frames import Hello
from roost.link.session import Side


def memory_pair(peer: Hello, owner: Hello, limits: Limits = DEFAULTS) -> tuple[MemoryConnection, MemoryConnection]:
    """The two ends of a link in this process: the peer's and the owner's, each with its own Hello."""
    left = MemoryConnection(Side.PEER, peer, limits, f"memory:{owner.role}-{owner.number}")
    right = MemoryConnection(Side.OWNER, owner, limits, f"memory:{peer.role}-{peer.number}")
    left._far, right._far = right, left
    left.flush_soon()
    right.flush_soon()
    return left, right


class MemoryConnection(SessionConnection):
    """One end of a link in memory. Bytes arrive in a later turn of the loop, as they would from a socket."""

    _far: MemoryConnection

    def __init__(self, side: Side, hello: Hello, limits: Limits, peername: str) -> None:
        super().__init__(side, hello, limits)
        self._peername = peername
        self._arriving: deque[bytearray | None] = deque()
        self._size = 0
        self._reading = False
        self._held = False

    @property
    def peername(self) -> str:
        return self._peername

    # -- knobs for tests -----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let nothing arrive at this end until `release`, as when its process is stopped."""
        self._held = True

    def release(self) -> None:
        """Let arrive what was held."""
        self._held = False
        self._deliver_soon()

    def lose(self) -> None:
        """Lose the link, as when the other process is killed: what is under way is gone, both ends are told."""
        for end in (self, self._far):
            end._fail(LinkError("the link was lost"))

    # -- the bytes -----------------------------------------------------------------------------------------------------

    def _write(self, data: bytearray) -> int:
        far = self._far
        far._arriving.append(data)
        far._size += len(data)
        far._deliver_soon()
        if far._size > self._limits.link_send_bytes:
            self._set_writable(False)
        return far._size

    def _finish_writing(self) -> None:
        self._far._arriving.append(None)
        self._far._deliver_soon()
        self._loop.call_soon(self._end, None)

    def _drop(self) -> None:
        if self._lost is None:
            self._arriving.clear()
            self._loop.call_soon(self._end, None)
            self._far._arriving.append(None)
            self._far._deliver_soon()

    def _pause_reading(self) -> None:
        self._reading = False

    def _resume_reading(self) -> None:
        self._reading = True
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._arriving:
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._arriving and self._reading and not self._held:
            data = self._arriving.popleft()
            if data is None:
                self._received_end()
                self._end(None)
                return
            self._size -= len(data)
            self._received(data)
        if self._size <= self._limits.link_send_bytes // 4:
            self._far._set_writable(True)
