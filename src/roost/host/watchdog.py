"""Tells when the event loop is blocked, and by whose code: one handler that computes for seconds stops every object."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from roost.objects.turn import ObjectTask
from roost.observer import Observer

_log = logging.getLogger("roost.loop")


class Watchdog:
    """A thread that looks whether the loop still turns. It reports a blockage once, and again when twice as long."""

    def __init__(
        self,
        *,
        seconds_max: float,
        observer: Observer,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_max = seconds_max
        self._observer = observer
        self._monotonic = monotonic
        self._beat = monotonic()
        self._report_from = seconds_max
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched = 0

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self.beat()
        self._thread = threading.Thread(target=self._run, name="roost watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def beat(self) -> None:
        """The loop turns."""
        self._beat = self._monotonic()
        self._report_from = self._seconds_max
        if self._loop is not None and not self._stopped.is_set():
            self._timer = self._loop.call_later(self._seconds_max / 4, self.beat)

    def look(self, frame: FrameType | None) -> str | None:
        """Report if the loop has not turned for too long; `frame` is where its thread is. Returns the report."""
        blocked = self._monotonic() - self._beat
        if blocked < self._report_from:
            return None
        self._report_from = blocked * 2
        who = next(objects_in(frame), None)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        report = f"the event loop is blocked for {blocked:.1f} s by {who or 'code outside of any object'}"
        _log.warning("%s, at:\n%s", report, stack)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify, blocked, who, stack)
        return report

    def _notify(self, seconds: float, who: str | None, stack: str) -> None:
        self._observer.notify("loop.blocked", seconds=seconds, object=who, stack=stack)

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds_max / 2):
            self.look(sys._current_frames().get(self._watched))


def objects_in(frame: FrameType | None) -> Iterator[str]:
    """The objects whose code is on that stack, innermost first."""
    while frame is not None:
        task = frame.f_locals.get("self")
        if type(task) is ObjectTask:
            yield repr(task.section.owner.object_id)
        frame = frame.f_back
