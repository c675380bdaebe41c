"""The address that clients connect to: one listening socket for each gateway, held by the supervisor.

The supervisor holds them for as long as it runs and hands each gateway its own. So a client that connects while its
gateway is being restarted waits in the kernel's queue and is not refused, and nobody else takes the port in between.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from roost.errors import ConfigurationError

BACKLOG = 2_048


class AddressError(ConfigurationError):
    """Nobody can listen at the address: it is taken, not of this machine, or not allowed."""


class Address:
    """A reserved address with `count` listening sockets on it."""

    def __init__(self, host: str, sockets: list[socket.socket]) -> None:
        self.host = host
        self.sockets = sockets
        self.port: int = sockets[0].getsockname()[1]

    def url(self, scheme: str = "http") -> str:
        """As a browser takes it; the address that means every interface is shown as this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def close(self) -> None:
        """Give it back; calling it again changes nothing."""
        for each in self.sockets:
            each.close()


def reserve(host: str, port: int, count: int) -> Address:
    """Listen at host and port with `count` sockets that share it; port 0 takes a free one.

    Raises AddressError, which says what is wrong with the address and what to do.
    """
    family, place = _resolve(host, port)
    # SO_REUSEPORT would let us join another roost of the same user without a word, so the first try is without it.
    with _bind(family, place, shared=False) as probe:
        place = (place[0], probe.getsockname()[1], *place[2:])
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sockets.append(_bind(family, place, shared=True))
        for each in sockets:
            each.listen(BACKLOG)
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return Address(host, sockets)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AddressError(f"the host {host!r} is no name or address of this machine: {error.strerror}") from error
    family, _, _, _, place = found[0]
    return family, tuple(place)


def _bind(family: socket.AddressFamily, place: tuple[Any, ...], *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Linux lets a bind pass over connections that linger in TIME_WAIT with this; it does not hide a listener.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(place)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise AddressError(_explain(error, str(place[0]), int(place[1]))) from error
    return bound


def _explain(error: OSError, host: str, port: int) -> str:
    where = f"{host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another process; choose another port, as in `--port {port + 1}`, or 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return (
            f"{where} may not be used by this user: ports below 1024 are reserved; choose another, as in `--port 8787`"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; 127.0.0.1 serves this machine alone, 0.0.0.0 every interface"
    return f"{where} cannot be used: {error.strerror}"
