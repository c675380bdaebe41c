"""What the C library keeps of freed memory, given back to the system.

Handshakes, transports and objects that were awake leave holes between what stays, and glibc hands only the top of its
heap back by itself. After many sockets were parked or many objects went to sleep, the holes are most of it
(docs/design/decisions/parking.md).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> bool:
    """Give back whole pages that are free; some milliseconds for a heap of a hundred MiB. False where there is no way
    to ask for it: musl and macOS do it by themselves or not at all."""
    trim = _trim()
    return trim is not None and bool(trim(0))


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        found = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
    trim: Callable[[int], int] = found
    return trim
