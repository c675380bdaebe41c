"""Signals as calls on the loop, for as long as a run lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def handled(handlers: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call these within the block. A signal that is ignored from the start (nohup) stays so."""
    loop = asyncio.get_running_loop()
    taken = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in taken:
        loop.add_signal_handler(number, handlers[number])
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def has_terminal() -> bool:
    """Whether this process belongs to a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
