"""Which host owns an object.

The contract: for a key, `owner` gives the number of the one host that may run the object now. The local driver decides
by the key and the configured hosts alone, so that every process of a machine agrees without asking anybody. It is
rendezvous hashing: every host draws a number for the key and the highest wins. When a host is added, only the objects
that it wins move; when one goes, only its own do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from roost.errors import InvalidArgumentError


class Directory(Protocol):
    """Where objects live."""

    def owner(self, key: bytes) -> int:
        """The number of the host that owns the object with this key."""


class LocalDirectory:
    """Owners as a pure function of key and host numbers, the same in every process."""

    def __init__(self, hosts: Iterable[int]) -> None:
        self.hosts = tuple(sorted(set(hosts)))
        """The numbers of the hosts."""
        if not self.hosts:
            raise InvalidArgumentError("a directory needs at least one host")
        if self.hosts[0] < 0:
            raise InvalidArgumentError(f"the number of a host cannot be negative, got {self.hosts[0]}")
        # The state behind the host's number is kept, so that an owner costs one short hash a host.
        self._draws = [(hashlib.blake2b(b"roost owner %d\0" % host, digest_size=8), host) for host in self.hosts]

    def owner(self, key: bytes) -> int:
        if len(self._draws) == 1:
            return self.hosts[0]
        best, winner = b"", -1
        for state, host in self._draws:
            draw = state.copy()
            draw.update(key)
            if (drawn := draw.digest()) > best:
                best, winner = drawn, host
        return winner
