"""Who opens the files of objects, as the storage of one object sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from roost.errors import StorageError
from roost.ids import ObjectId
from roost.storage.alarms.alarms import FailedAlarm
from roost.storage.recovery.rewinder import Rewinder
from roost.storage.writer import Writer


class Writers(Protocol):
    """Who opens the files of objects."""

    def writer(self, object_id: ObjectId, *, create: bool) -> Writer | None:
        """The open file of an object; None when it has none and none is to be made. Raises StorageError."""

    def open_writer(self, object_id: ObjectId) -> Writer | None:
        """The file of an object, if it is open now."""

    def drop_unborn(self, writer: Writer) -> None:
        """Remove a file that nothing was ever committed to."""

    def rest(self, object_id: ObjectId) -> None:
        """A life of the object ended; its file may be closed for another's sake."""

    def post(self, function: Callable[[], None]) -> None:
        """Have a function called on this thread, soon."""

    def now_ms(self) -> int:
        """The time, in milliseconds since the epoch."""

    def alarm_is_due(self, object_id: ObjectId, due: int | None) -> None:
        """This is when the object's earliest alarm is due, durably; None when it has none."""

    def alarm_failed(self, object_id: ObjectId, failed: FailedAlarm) -> None:
        """An alarm was given up, durably."""

    @property
    def rewinder(self) -> Rewinder | None:
        """Who knows objects' pasts."""

    def prepare(self, object_id: ObjectId, ready: Callable[[StorageError | None], None]) -> bool:
        """Whether the object may be opened now; else `ready` is called, once, when it may be, or cannot be."""

    def plan_restore(self, object_id: ObjectId, commit: int) -> int:
        """Have the object's next life begin with what it held after a commit; the number of the commit that does it."""
