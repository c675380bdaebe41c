"""How many clients a gateway has descriptors for. Each connection is one open file of this process."""

from __future__ import annotations

import logging
import resource

_log = logging.getLogger("roost.gateway")

RESERVED = 200
"""For the interpreter, links, files that are served, sockets that are parked at the moment (each has two then), and
clients that are still to read that there is no room for them."""
REFUSED_AT_ONCE_MAX = RESERVED // 2
"""So many may be told; who comes beyond that finds the connection closed."""


class Descriptors:
    """Whether there is one for a client more."""

    def __init__(self, allowed: int | None = None) -> None:
        self.allowed = raise_descriptor_limit() if allowed is None else allowed
        """How many this process may have; resource.RLIM_INFINITY where there is no limit."""
        self._warned = False

    def are_short(self, connections: int) -> bool:
        """Whether so many connections are as many as there is room for. Says so in the log when it begins."""
        if self.allowed == resource.RLIM_INFINITY or connections < self._room:
            self._warned = self._warned and connections > self._room * 9 // 10
            return False
        if not self._warned:
            self._warned = True
            _log.warning(
                "%d connections: the system allows this process %d open files and sockets, and new clients are refused "
                "with 503. Raise it (`ulimit -n`, in a systemd unit LimitNOFILE), or run more gateways",
                connections,
                self.allowed,
            )
        return True

    def are_gone(self, connections: int) -> bool:
        """Whether there is not even one for a client that is told so."""
        return self.allowed != resource.RLIM_INFINITY and connections >= self._room + REFUSED_AT_ONCE_MAX

    @property
    def _room(self) -> int:
        return max(self.allowed - RESERVED, self.allowed // 2)


def raise_descriptor_limit() -> int:
    """As many open files as the system allows this process; the limit that now holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            return soft  # macOS names a hard limit that it then refuses: what there was must do
    return hard
