"""Which of many descriptors have something to read: one set of them, which the loop watches as a single descriptor.

A set in the kernel that can itself be watched, so that a socket in it costs nothing while it is silent. On Linux that
is epoll; elsewhere whatever `selectors` gives that has a descriptor of its own: kqueue on macOS.

Only readability is asked for, level-triggered. The end of a client's half and a reset make a socket readable too, so
that a hang-up needs no event of its own; and what was left unread is told again, so that one read of bounded size per
turn is enough and no socket is read to its end while others wait.
"""

from __future__ import annotations

import select
import selectors
from typing import Protocol

READY_MAX = 256
"""Descriptors told at once: the loop has others to serve. The rest is told in its next turn."""


class PollSet(Protocol):
    """Descriptors that are watched for something to read, or for their end."""

    def fileno(self) -> int:
        """Readable while one of the set is."""

    def add(self, descriptor: int) -> None: ...

    def remove(self, descriptor: int) -> None: ...

    def ready(self) -> list[int]:
        """Those that can be read now, at most READY_MAX of them."""

    def close(self) -> None: ...


class EpollSet:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = select.epoll()

    def fileno(self) -> int:
        return self._epoll.fileno()

    def add(self, descriptor: int) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)

    def ready(self) -> list[int]:
        return [descriptor for descriptor, _ in self._epoll.poll(0, READY_MAX)]

    def close(self) -> None:
        self._epoll.close()


class SelectorSet:
    """Where there is no epoll. Raises RuntimeError where there is no kqueue either."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        if not hasattr(self._selector, "fileno"):
            kind = type(self._selector).__name__
            raise RuntimeError(f"sockets cannot be parked with {kind}, which no loop can watch: set park_seconds = 0")

    def fileno(self) -> int:
        number: int = self._selector.fileno()
        return number

    def add(self, descriptor: int) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ)

    def remove(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def ready(self) -> list[int]:
        return [key.fd for key, _ in self._selector.select(0)[:READY_MAX]]

    def close(self) -> None:
        self._selector.close()


def make_poll_set() -> PollSet:
    """The cheapest that the system has."""
    return EpollSet() if hasattr(select, "epoll") else SelectorSet()
