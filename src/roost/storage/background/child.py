"""`python child.py DESCRIPTOR...`: the background writer of a host, which gives it one end of each connection.

It ends when the host does, whatever it is at, and until then holds the lock of the host's slot: nobody recovers files
that it may still write to.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost.storage.background.work import Work

NICE = 5
"""How much it stands back behind those who serve."""


def main(descriptors: list[int]) -> None:
    """Serve each connection on a thread; never returns: a pool starts no threads any more once this one has ended."""
    work = _work()
    os.nice(NICE)
    connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for connection in connections[1:]:
        threading.Thread(target=_serve, args=(work, connection), daemon=True).start()
    _serve(work, connections[0])


def _work() -> Work:
    """The package is taken without what its root lists for users: that is all of roost, half a second and 15 MB."""
    package = types.ModuleType("roost")
    package.__path__ = [str(Path(__file__).parents[2])]
    sys.modules["roost"] = package
    from roost.storage.background import work

    return work.Work()


def _serve(work: Work, connection: socket.socket) -> None:
    try:
        work.serve(connection)
    except (EOFError, OSError):
        os._exit(0)  # the host is gone, or wants nothing more
    except BaseException:  # noqa: BLE001 - whatever it is, the host must not wait for the answer
        sys.excepthook(*sys.exc_info())
        os._exit(1)


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]])
