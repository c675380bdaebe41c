"""A connection as the cork knows it, which keeps what is written to it, and a loop whose turns are taken by hand."""

from __future__ import annotations

from collections.abc import Callable

from tests.gateway.fake_clock import FakeClock

from roost.gateway.coding import PLAIN, Coding
from roost.gateway.cork import Cork
from roost.gateway.shared_batch import SharedBatch
from roost.link.frames import Message


class FakeLoop:
    """`call_soon` of a loop; `turn` is its next turn."""

    def __init__(self) -> None:
        self._ready: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._ready.append(callback)

    def turn(self) -> None:
        ready, self._ready = self._ready, []
        for callback in ready:
            callback()


class Corked:
    """A cork with its loop and clock."""

    def __init__(self, seconds_max: float = 0.001) -> None:
        self.loop = FakeLoop()
        self.clock = FakeClock()
        self.cork = Cork(self.loop, self.clock, seconds_max)  # type: ignore[arg-type]  # all it asks of a loop


class FakeMember:
    def __init__(self, coding: Coding = PLAIN) -> None:
        self.pending: list[bytes] = []
        self.batch: SharedBatch | None = None
        self.coding: Coding = coding
        self.writes: list[bytes] = []
        self.counts: list[int] = []
        """How many frames each write was said to have."""

    def flush(self) -> None:
        data, count = b"".join(self.pending), len(self.pending)
        self.pending.clear()
        self.write_joined(data, count)

    def write_joined(self, data: bytes, count: int) -> None:
        assert not self.pending, "what is pending goes first"
        assert count, "an empty write"
        self.writes.append(data)
        self.counts.append(count)

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)


class Sending:
    """What a coding is that nothing is received with."""

    def inflater(self) -> None:
        return None

    def close(self) -> None:
        pass


class Numbering(Sending):
    """A coding that depends on what came before: each frame says how many there were."""

    shared = False

    def __init__(self) -> None:
        self.count = 0

    def encode(self, message: Message) -> bytes:
        self.count += 1
        return f"<{self.count}:{message}>".encode()


class Bracketing(Sending):
    """A coding of its own that many can share, which counts its work."""

    shared = True

    def __init__(self) -> None:
        self.encoded: list[Message] = []

    def encode(self, message: Message) -> bytes:
        self.encoded.append(message)
        return f"[{message}]".encode()
