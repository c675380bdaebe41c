# The storage of one host: the right to its slot, its journal, and the files of its objects that are open.
#
#  (1) Whoever holds the slot's lock is the only one that opens files of its objects. Opening a store after a crash
#      reads the slot's journal, not the objects: each is recovered when it is first needed, and all beside the work.
#  (2) The files of objects are opened when they are first used, and closed when others need the room; see OpenFiles.
#  (3) Everything here runs on one thread, the loop's, but for the journal's thread and those of the checkpoints.
#  (4) A clean `close` leaves every file up to date that was recovered, and nothing in the journal that recovery needs;
#      what the keeper has not taken over, it takes over after the next start. Anything less is what recovery is for.
"""HostStore: where a host opens the storage of its objects."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import apsw

from roost.clock import Clock, SystemClock
from roost.errors import StorageCorruptError, StorageError
from roost.ids import ObjectId
from roost.limits import DEFAULTS, Limits
from roost.storage.alarms.agenda import Agenda
from roost.storage.alarms.alarms import FailedAlarm
from roost.storage.background.background_writer import BackgroundWriter
from roost.storage.database import Database
from roost.storage.files import Files
from roost.storage.journal.contents import Content
from roost.storage.journal.journal import LocalLog
from roost.storage.journal.keeper import Keeper, NothingKept
from roost.storage.journal.log import Log
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.journal.side_file import SideFiles
from roost.storage.layout import DataDirectory
from roost.storage.object_storage import ObjectStorage
from roost.storage.open_files import OpenFiles
from roost.storage.recovery.object_recovery import ObjectRecovery
from roost.storage.recovery.preparation import Preparation
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.recovery.recovery import Recovered, recover_slot, unreadable
from roost.storage.recovery.restores import Restores
from roost.storage.recovery.rewinder import Rewinder
from roost.storage.recovery.survey import Survey
from roost.storage.recovery.upgrade import upgrade
from roost.storage.sqlite_errors import translated
from roost.storage.template import Template
from roost.storage.writer import Writer

logger = logging.getLogger("roost.storage")


class HostStore:
    """The storage of one host, from the moment its slot was taken until `close`.

    `loop` is where callbacks come back: by default the running one. Without any, `settle()` waits for what is under way
    and calls them; that is for tools and tests. `log` replaces the journal. `keeper` takes over what the journal
    needs no more; `rewinder` knows objects' pasts, for restores. `owns` tells by the key which objects are this host's.
    With `beside`, a child process writes objects' files, so that this one has its interpreter for turns.

    Raises DataDirectoryError when the directory cannot be used or another process runs this host, StorageCorruptError
    when its journal is damaged.
    """

    def __init__(
        self,
        directory: Path | str,
        slot: int = 0,
        *,
        limits: Limits = DEFAULTS,
        clock: Clock | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        files: Files | None = None,
        log: Log | None = None,
        keeper: Keeper | None = None,
        rewinder: Rewinder | None = None,
        owns: Callable[[bytes], bool] | None = None,
        beside: bool = False,
    ) -> None:
        self._limits = limits
        self._keeper = keeper or NothingKept()
        self.rewinder = rewinder
        """Who knows what objects held; None where no history is kept."""
        self._clock = clock or SystemClock()
        self._loop = loop or _running_loop()
        self._posted: deque[Callable[[], None]] = deque()
        self._posting = threading.Condition()
        self._template = Template()
        self._closed = False
        self.on_alarm: Callable[[ObjectId, int | None], None] = lambda *told: self.agenda.note(*told)
        """Told when the earliest alarm of an object is due, or that it has none, once that is durable."""
        self.on_alarm_failed: Callable[[ObjectId, FailedAlarm], None] = lambda *told: self.agenda.alarm_failed(*told)
        """Told of each alarm that was given up, once that is durable."""
        self.on_quarantined: Callable[[ObjectId, str], None] = lambda object_id, reason: None
        """Told of each object whose file does not check out, and why; it is not opened before it is repaired."""
        self.on_broken: Callable[[StorageError], None] = lambda error: None
        """Told once when nothing can be made durable any more: only another process can go on, after recovery."""
        self._layout = DataDirectory(directory, lambda layout: upgrade(layout, self._keeper))
        self._lock = self._layout.slot(slot)
        self._background = BackgroundWriter(self._lock.fd) if beside else None
        self._open = OpenFiles(limits, self.post, lambda: self._log.flush(), self._background)
        agenda: Agenda | None = None
        try:
            agenda = self.agenda = self._open_agenda(owns or _own_all)
            """When which object is to be rung."""
            self._recovery: ObjectRecovery | None = None
            self.recovered, self._log = self._begin(log, files)
            """What had to be recovered when the store was opened, and perhaps still has to be."""
        except BaseException:
            if agenda is not None:
                agenda.close()
            self._lock.release()
            raise
        self._quarantine = Quarantine(self._layout.path)
        self._restores = Restores(self._layout.path)
        self._preparation = Preparation(
            self,
            recovery=self._recovery,
            restores=self._restores,
            quarantine=self._quarantine,
            rewinder=rewinder,
            log=self._log,
            clock=self._clock,
            side_files=SideFiles(self._lock.path) if log is None else None,
        )
        self._recover_beside(self._recovery)

    def _begin(self, log: Log | None, files: Files | None) -> tuple[Recovered, Log]:
        """Read the journal that was found, and begin the one of this life."""
        if log is not None:
            return recover_slot(self._layout, self._lock.path, replay=self._replay), log
        try:
            survey = Survey(self._lock.path)
        except OSError as error:
            raise unreadable(self._lock.path, error) from error
        try:
            self.agenda.replay(survey.last_contents())
            journal = self._open_journal(files, survey.needed)
        except BaseException:
            survey.close()
            raise
        if survey.objects:
            self._recovery = ObjectRecovery(self._layout, survey, journal.let_go, files, self._background)
        else:
            survey.close()
        return Recovered(len(survey.objects), survey.commits), journal

    def _recover_beside(self, recovery: ObjectRecovery | None) -> None:
        if recovery is not None:
            recovery.start()

    def _replay(self, contents: Iterable[Content]) -> None:
        self.agenda.replay(contents)
        self.agenda.flush()

    def _open_agenda(self, owns: Callable[[bytes], bool]) -> Agenda:
        objects = self._layout.path / "objects"
        return Agenda(self._lock.path, post=self.post, objects=objects, owns=owns, opened_now=self._alarms_of_open)

    def _alarms_of_open(self) -> Iterator[tuple[ObjectId, int | None]]:
        for writer in self._open.writers.values():
            yield ObjectId(writer.key, writer.binding, writer.name), writer.alarm

    def _open_journal(self, files: Files | None, needed: Mapping[Path, dict[bytes, int]]) -> LocalLog:
        return LocalLog(
            self._lock.path,
            segment_bytes=self._limits.journal_segment_bytes,
            post=self.post,
            soon=None if self._loop is None else self._soon,
            files=files,
            on_rolled=self._open.bring_up_to_date,
            on_broken=lambda error: self.on_broken(error),
            patience=self._limits.loop_sync_seconds_max,
            keeper=self._keeper,
            flush=self.agenda.flush,
            needed=needed,
        )

    def open(self, object_id: ObjectId) -> ObjectStorage:
        """The storage of an object, for one life of it. No file is touched before the first use."""
        return ObjectStorage(object_id, self)

    def writer(self, object_id: ObjectId, *, create: bool) -> Writer | None:
        """The open file of an object; None when it has none and none is to be made."""
        key = object_id.key
        writer = self._open.writers.get(key)
        if writer is not None and writer.failure is not None:
            self._after_failure(writer, writer.failure)
            writer = None
        if writer is not None:
            self._open.use(writer)
            if writer.name is None:
                writer.name = object_id.name
            return writer
        if self._closed:
            raise StorageError("the store was closed")
        path = self.path(object_id)
        self._check(object_id.key)
        if not create and not self._exists(object_id, path):
            return None
        writer = self._open_writer(object_id, path)
        self.agenda.opened(object_id, writer.alarm)
        self._open.add(writer)
        return writer

    def _exists(self, object_id: ObjectId, path: Path) -> bool:
        try:
            if Database.exists(path):
                return True
            Database.check_absence(path, self._template)
        except OSError as error:
            raise translated(error, path, self._limits.object_bytes_max) from error
        except StorageCorruptError as error:
            raise self._found_corrupt(object_id, error) from error
        return False

    def _after_failure(self, writer: Writer, failure: StorageError) -> None:
        """Raise it again, unless the object was repaired since: then its file can be opened anew."""
        if not isinstance(failure, StorageCorruptError) or self._quarantine.case(writer.key) is not None:
            raise type(failure)(*failure.args)
        self._give_up(writer)

    def _give_up(self, writer: Writer) -> None:
        """Close a damaged file; what the object is to hold comes from elsewhere."""
        self._open.forget(writer)
        writer.database.close()

    def _found_corrupt(self, object_id: ObjectId, found: StorageCorruptError) -> StorageCorruptError:
        """Let an object not be opened any more before it is repaired; the error that says so."""
        case = Case(key=object_id.key.hex(), binding=object_id.binding, reason=str(found))
        error = case.error()
        logger.error("%s", error)
        try:
            self._quarantine.put(case)
        except OSError as trouble:
            logger.error("object %s cannot be put in quarantine: %s", case.key, trouble)
        self.on_quarantined(object_id, case.reason)
        return error

    def path(self, object_id: ObjectId) -> Path:
        """Where the file of an object is, or would be."""
        return self._layout.object_path(object_id.binding, object_id.key)

    def _check(self, key: bytes) -> None:
        """See to it that an object's file may be opened. Raises StorageError."""
        self._preparation.check(key)
        if self._recovery is not None and self._recovery.waits(key):
            self._recovery.recover(key)
        self._quarantine.check(key)

    # Before a life.

    def prepare(self, object_id: ObjectId, ready: Callable[[StorageError | None], None]) -> bool:
        """Whether the object can be opened now; else `ready` is called on the loop, once, when it can be, or why not.

        To be called at the beginning of each life: this is when an object is taken back to its past, where that was
        planned, and when one that a crash left behind is recovered without holding up the others.
        """
        return self._preparation.prepare(object_id, ready)

    def plan_restore(self, object_id: ObjectId, commit: int) -> int:
        """Have an object go back to what it held after `commit` when its next life begins; durable on return.

        The number of the commit that will do it: going back to the one before it undoes the restore. What is committed
        until then counts on below that number. Raises StorageError.
        """
        is_usable = self._quarantine.case(object_id.key) is None
        writer = self.writer(object_id, create=False) if is_usable else None
        try:
            number = self._restores.plan(object_id, commit, above=0 if writer is None else writer.highest)
        except OSError as error:
            raise StorageError(f"the restore of object {object_id} cannot be noted: {error}") from error
        if writer is not None:
            writer.below = number
        return number

    def close_file(self, object_id: ObjectId, then: Callable[[StorageError | None], None]) -> None:
        """Bring an object's file up to date and close it, then call back; with the error, where that cannot be done."""
        writer = self._open.writers.get(object_id.key)
        if writer is None:
            then(None)
        elif isinstance(writer.failure, StorageCorruptError):
            self._give_up(writer)
            then(None)
        elif writer.failure is not None:
            then(type(writer.failure)(*writer.failure.args))
        elif not writer.settled:
            writer.when_durable(lambda error: self.post(lambda: self.close_file(object_id, then)))
        elif writer.up_to_date and not writer.in_turn:
            self._open.drop(writer)
            then(None)
        elif not self._open.checkpoints.after(writer, lambda: self._close_checkpointed(writer, object_id, then)):
            then(StorageError(f"the file of object {object_id} is in use and cannot be closed"))

    def _close_checkpointed(
        self, writer: Writer, object_id: ObjectId, then: Callable[[StorageError | None], None]
    ) -> None:
        if writer.retry_at and not writer.up_to_date and writer.failure is None:
            then(StorageError(f"the file of object {object_id} could not be brought up to date"))
        else:
            self.close_file(object_id, then)

    def restored(self, object_id: ObjectId, alarm: int | None) -> None:
        """An object was taken back to its past; this is when its earliest alarm is due."""
        self.alarm_is_due(object_id, alarm)

    def open_writer(self, object_id: ObjectId) -> Writer | None:
        """The file of an object, if it is open now."""
        return self._open.writers.get(object_id.key)

    def rest(self, object_id: ObjectId) -> None:
        """A life of the object ended: until the next one uses its file, others may need the room."""
        self._open.rest(object_id.key)

    def drop_unborn(self, writer: Writer) -> None:
        """Remove a file that nothing was ever committed to."""
        if writer.may_checkpoint() and not writer.database.born and self._open.writers.get(writer.key) is writer:
            self._open.drop(writer)

    def _open_writer(self, object_id: ObjectId, path: Path) -> Writer:
        size_max = self._limits.object_bytes_max
        try:
            writer = self._new_writer(object_id, path, size_max)
        except (apsw.Error, OSError) as error:
            failure = translated(error, path, size_max)
            if isinstance(failure, StorageCorruptError):
                failure = self._found_corrupt(object_id, failure)
            raise failure from error
        except StorageCorruptError as error:
            raise self._found_corrupt(object_id, error) from error
        writer.on_corrupt = partial(self._found_corrupt, object_id)
        planned = self._restores.pending(object_id.key)
        writer.below = None if planned is None else planned.number
        return writer

    def _new_writer(self, object_id: ObjectId, path: Path, size_max: int) -> Writer:
        checked = self._limits.checked_at_open_bytes // PAGE_BYTES
        database = Database(path, self._template, size_max // PAGE_BYTES, checked)
        try:
            return Writer(object_id, database, self._log, self._clock, size_max, self._open.settled, self.alarm_is_due)
        except BaseException:
            database.close()
            raise

    # Alarms.

    def now_ms(self) -> int:
        """The time, in milliseconds since the epoch."""
        return self._clock.now_ms()

    def alarm_is_due(self, object_id: ObjectId, due: int | None) -> None:
        """This is when the object's earliest alarm is due, durably; None when it has none."""
        self.on_alarm(object_id, due)

    def alarm_failed(self, object_id: ObjectId, failed: FailedAlarm) -> None:
        """An alarm was given up, durably."""
        self.on_alarm_failed(object_id, failed)

    @property
    def crowded(self) -> bool:
        """Whether more files are open than should be, because the disk does not keep up with their checkpoints. Who can
        put off work in other objects should."""
        return self._open.crowded

    @property
    def open_databases(self) -> int:
        """How many files are open now."""
        return len(self._open.writers)

    # Waiting, and the end.

    def post(self, function: Callable[[], None]) -> None:
        """Have a function called on the owner's thread; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)
            return
        with self._posting:
            self._posted.append(function)
            self._posting.notify_all()

    def _soon(self, function: Callable[[], None]) -> None:
        assert self._loop is not None, "only asked for where there is one"
        self._loop.call_soon(function)

    def settle(self) -> None:
        """Wait until the fate of every commit is known and no checkpoint runs, and call the callbacks; blocks."""
        while True:
            while self._posted:
                self._posted.popleft()()
            self._log.flush()
            self._open.checkpoints.wait()
            if not self._preparation.wait() and not self._posted:
                return

    def wait_until_recovered(self) -> None:
        """Wait until no object waits for its recovery, or it is put off because something goes wrong; blocks."""
        if self._recovery is not None:
            self._recovery.wait()

    @property
    def waiting_for_recovery(self) -> int:
        """How many objects a crash left behind that are not recovered yet."""
        return 0 if self._recovery is None else self._recovery.waiting

    def checkpoint(self) -> None:
        """Bring every file up to date that can be; blocks. For tools and tests."""
        self.settle()
        self._open.begin_all()
        self.settle()

    def close(self) -> None:
        """Make everything durable, close every file, give the slot back; blocks until it is done."""
        if self._closed:
            return
        self._closed = True
        self._preparation.close()
        if self._recovery is not None:
            self._recovery.close()
        self.settle()
        for writer in self._open.writers.values():
            writer.undo(writer.database.mark)
            writer.in_turn = False
        if self._background is not None:
            self._background.start_no_more()
        self._open.begin_all()
        self.settle()
        self._open.checkpoints.close()
        if self._background is not None:
            self._background.close()
        for writer in list(self._open.writers.values()):
            self._open.drop(writer)
        self._keeper.close()
        self._log.close()
        self.agenda.close()
        self._lock.release()


def _own_all(key: bytes) -> bool:
    return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
