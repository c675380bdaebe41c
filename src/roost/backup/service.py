# Continuous backup: every few seconds what was committed since goes into the target, and from time to time a snapshot.
#
#  (1) A series begins with a snapshot. Another is taken when the last one is old, and whenever the chain of shipments
#      broke, so that what has to be replayed on the way back is bounded. Shipping goes on while one is taken.
#  (2) Nothing is remembered here that the target does not tell. Whoever is killed at any point begins again with what
#      lies in the target.
#  (3) What fails is told and tried again, with pauses that grow up to a minute; how far behind the target is can be
#      asked at any time. Nothing else notices: there is nobody who waits for this.
#  (4) It runs on one thread, which looks at `stopping` between two steps and never sleeps longer than until that.
"""Ships a data directory into a target for as long as it runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from roost.backup.pruning import prune
from roost.backup.series import Series, Snapshot, begin_series, series_of, spool_of, taking_snapshots
from roost.backup.shipper import BrokenChainError, ForeignSeriesError, Shipper
from roost.backup.snapshot import Progress, SnapshotTaker
from roost.backup.target import Target
from roost.clock import Clock
from roost.errors import RoostError

logger = logging.getLogger("roost.backup")

_FIRST_PAUSE, _LAST_PAUSE = 1.0, 60.0
_REMINDER_SECONDS = 60.0


class Stopped(Exception):  # noqa: N818 - it is none
    """Told to stop in the middle of something."""


class Status(msgspec.Struct):
    """How the target stands, as `roost ps` shows it."""

    target: str
    doing: str = "starting"
    """`starting`, `waiting`, `shipping`, `snapshot`, or `failing`."""
    behind_seconds: float = 0.0
    """The age of the moment up to which everything is in the target."""
    shipped_bytes: int = 0
    snapshot: str = ""
    """The last whole one."""
    progress: int = 0
    """Objects that the one being taken has dealt with."""
    error: str = ""
    """Why it fails now."""
    damaged: list[str] = []
    """What the last whole snapshot has no copy of, or an earlier one: the ids, behind their bindings."""


class BackupService:
    """`run` ships until `stop` is called from elsewhere."""

    def __init__(
        self,
        data: Path,
        target: Target,
        clock: Clock,
        *,
        every: float,
        full_every: float,
        keep: int,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """`wait` sleeps so many seconds, or until told to stop: then it returns true."""
        self._data = data
        self._target = target
        self._clock = clock
        self._every = every
        self._full_every = full_every
        self._keep = keep
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._status = Status(target.title)
        self._began = self._complete = clock.monotonic()
        self._shipper: Shipper | None = None
        self._last: Snapshot | None = None
        self._next_ship = 0.0
        self._told_at = 0.0

    def status(self) -> Status:
        """How it stands now; from any thread."""
        return msgspec.structs.replace(self._status, behind_seconds=self._clock.monotonic() - self._complete)

    def stop(self) -> None:
        """End as soon as what is committed by now is shipped, or cannot be; from any thread."""
        self._stopping.set()

    def run(self) -> None:
        """Ship until told to stop."""
        pause = 0.0
        while not self._stopping.is_set():
            try:
                with spool_of(self._data) as spool:
                    self._once(spool)
                self._succeeded()
                pause = 0.0
            except Stopped:
                break
            except (RoostError, OSError) as error:
                pause = min(max(2 * pause, _FIRST_PAUSE), _LAST_PAUSE)
                self._failed(error, pause)
            self._wait(pause or self._every)
        self._ship_last()

    # One round.

    def _once(self, spool: Path) -> None:
        shipper = self._shipper or self._begin(spool)
        shipper.spool = spool
        self._status.doing = "shipping"
        try:
            self._ship(shipper)
            is_due = self._is_due()
        except BrokenChainError as error:
            logger.warning("%s; a snapshot begins anew", error)
            is_due = True
        except ForeignSeriesError as error:
            self._shipper = None
            logger.warning("%s; a new series begins: %s", error, begin_series(self._data))
            shipper, is_due = self._begin(spool), True
        if is_due:
            self._take_snapshot(shipper)

    def _begin(self, spool: Path) -> Shipper:
        series = Series(self._target, series_of(self._data))
        shipper = Shipper(self._data, series, spool, self._check_stopping)
        shipper.find_ends()
        self._last = series.last_snapshot()
        self._shipper = shipper
        return shipper

    def _ship(self, shipper: Shipper) -> None:
        if self._last is None:
            return  # nothing that is shipped is of any use before there is a snapshot
        began = self._clock.monotonic()
        self._status.shipped_bytes += shipper.ship().bytes
        self._complete = began
        self._tell_of(self._last)
        self._next_ship = began + self._every

    def _is_due(self) -> bool:
        last = self._last
        return last is None or self._clock.now_ms() - last.began_ms >= self._full_every * 1000

    def _take_snapshot(self, shipper: Shipper) -> None:
        self._status.doing = "snapshot"
        with taking_snapshots(self._data):
            began = self._clock.monotonic()
            taker = SnapshotTaker(self._data, shipper, self._clock, self._between_steps)
            self._last = taker.take()
            self._complete = max(self._complete, began)
            self._tell_of(self._last)
            logger.info(
                "snapshot %s: %d objects, %d of them copied", self._last.id, self._last.objects, self._last.copied
            )
            for one in self._last.damaged:
                logger.error("%s", one)
            prune(shipper.series, self._keep)

    def _between_steps(self, progress: Progress) -> None:
        self._check_stopping()
        self._status.progress = progress.objects
        if self._last is not None and self._shipper is not None and self._clock.monotonic() >= self._next_ship:
            self._ship(self._shipper)

    def _check_stopping(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _ship_last(self) -> None:
        """What was committed until the end, if the target could be reached the last time."""
        if self._shipper is None or self._last is None or self._status.error:
            return
        try:
            with spool_of(self._data) as spool:
                shipper = Shipper(self._data, self._shipper.series, spool)
                shipper.ends = self._shipper.ends
                self._ship(shipper)
        except (RoostError, OSError) as error:
            logger.warning("the last of what was committed is not in %s: %s", self._target.title, error)

    # What is told.

    def _tell_of(self, snapshot: Snapshot) -> None:
        self._status.snapshot = snapshot.id
        self._status.damaged = [f"{one.binding} {one.id}" for one in snapshot.damaged]

    def _succeeded(self) -> None:
        if self._status.error:
            logger.warning("%s is up to date again", self._target.title)
        self._status.error, self._status.doing = "", "waiting"

    def _failed(self, error: Exception, pause: float) -> None:
        now = self._clock.monotonic()
        if not self._status.error or now - self._told_at >= _REMINDER_SECONDS:
            self._told_at = now
            logger.error("%s is %.0f s behind: %s; it is tried again", self._target.title, now - self._complete, error)
        logger.debug("tried again in %.0f s", pause)
        self._status.error, self._status.doing = str(error), "failing"
