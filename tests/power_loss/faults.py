"""Faults of a recorded disk, from inside of the process that has them."""

from __future__ import annotations

import ctypes
from enum import IntEnum


class Fault(IntEnum):
    """As in recorder.c."""

    FAIL = 0
    SHORT = 1
    ROT = 2


def fault(operation: str, pattern: str, how: Fault, error: int = 0, *, skip: int = 0, times: int = 0) -> None:
    """From now on these calls on paths like `pattern` go wrong: all of them, or so many `times`, after `skip`."""
    placed = ctypes.CDLL(None).power_fault(operation.encode(), pattern.encode(), int(how), error, skip, times)
    assert placed >= 0, "there is no room for another fault"


def heal() -> int:
    """No more faults; how many there were."""
    return int(ctypes.CDLL(None).power_heal())
