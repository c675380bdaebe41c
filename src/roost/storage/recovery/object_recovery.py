# After anything unclean: lead every object back to its last durable commit, each when it is needed, all of them soon.
#
#  (1) An object waits until its file holds all that the journal has of it, durably; only then is it opened, and only
#      then does it let go of the old segments. What happened before counts as not done: replaying twice does no harm.
#  (2) One object is recovered by one thread: the sweep, which goes through the whole journal and brings all of them
#      along, or whoever opens an object that the sweep has not finished. Whoever comes second waits for the first.
#      Where there are many, the sweep is made by the background writer, and what it leaves, or leaves undone, by us.
#  (3) A file is not touched any more once its object was recovered: it may be open in SQLite, whose locks on it a close
#      of ours would drop (POSIX).
#  (4) What goes wrong with one object is that object's trouble: no room or an error of the disk is told to whoever
#      opens it, and is tried again; commits that cannot be read put it in quarantine, its file as it was before them.
"""Recovering the objects of one host."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.storage.background.background_writer import BackgroundLostError, BackgroundWriter
from roost.storage.background.errands import ReadJournal, Recover, SyncNames
from roost.storage.files import Files, is_out_of_space, sync_directory
from roost.storage.journal.parted_images import PartedImages
from roost.storage.journal.record import Record
from roost.storage.layout import DataDirectory
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.recovery.replay import Replay, names_of, sync_names, sync_object
from roost.storage.recovery.survey import Place, Survey, Traces

logger = logging.getLogger("roost.storage")

_THREADS = 3  # more would not be faster, and be in the way of the loop
_TOGETHER = 1024  # objects that are synced before their names are: many of them share directories
_PIECE = 16  # records that are decoded at a stretch: some 50 µs
_RETRY_SECONDS = 5.0
BESIDE_FROM = 200
"""How many objects are worth another process: it takes longer to start than these do."""
_BESIDE_THREADS = 2
_AT_A_TIME = 64  # objects that the other process has at a time


class ObjectRecovery:
    """The objects that a survey found in the journal, until they are recovered; `let_go` hears of each that was."""

    def __init__(
        self,
        layout: DataDirectory,
        survey: Survey,
        let_go: Callable[[bytes, int], None],
        files: Files | None = None,
        background: BackgroundWriter | None = None,
    ) -> None:
        self._layout = layout
        self._background = background
        self._survey = survey
        self._let_go = let_go
        self._files = files or Files()
        self._quarantine = Quarantine(layout.path)
        self._changed = threading.Condition()
        self._waiting: dict[bytes, Traces] = dict(survey.objects)
        self._taken: set[bytes] = set()
        """Those that a thread is at work on, alone."""
        self._alone: set[bytes] = {key for key, traces in self._waiting.items() if traces.lost}
        """Those that the sweep leaves out."""
        self._sweep = Replay(self._files)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def waits(self, key: bytes) -> bool:
        """Whether an object must be recovered before it is opened."""
        return key in self._waiting

    @property
    def waiting(self) -> int:
        """How many objects wait."""
        return len(self._waiting)

    @property
    def done(self) -> bool:
        """Whether nothing waits any more."""
        return not self._waiting

    def recover(self, key: bytes) -> None:
        """Recover one object now, or wait until that is done; blocks, on any thread.

        Raises StorageError when it cannot be; it may be tried again.
        """
        if not self._take(key):
            return
        try:
            self._recover_alone(key, self._waiting[key])
        except OSError as error:
            raise _translated(self._path(key), error) from error
        finally:
            self._give_back([key])

    def recover_all(self) -> None:
        """Recover every object; blocks. Raises StorageError when one of them cannot be, after all others were."""
        self._run_sweep()
        for key in list(self._waiting):
            self.recover(key)

    # In the background.

    def start(self) -> None:
        """Recover all of them on a thread, over and over where something goes wrong."""
        self._thread = threading.Thread(target=self._run, name="roost-recovery", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what still waits is recovered after the next start."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._sweep.close()
        self._survey.close()

    def wait(self) -> None:
        """Wait until nothing waits any more, or the thread gave up for now. For tools and tests."""
        if self._thread is not None:
            with self._changed:
                self._changed.wait_for(lambda: self.done or self._resting or self._closing.is_set())

    _resting = False

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self.recover_all()
            except StorageError as error:
                logger.error("%s; it is tried again", error)
            except Exception:
                logger.exception("the recovery of objects failed; it is tried again")
            with self._changed:
                self._resting = True
                self._changed.notify_all()
            if self.done or self._closing.wait(_RETRY_SECONDS):
                return
            self._resting = False

    def _run_sweep(self) -> None:
        if self._background is not None and self.waiting >= BESIDE_FROM:
            try:
                self._sweep_beside(self._background)
            except BackgroundLostError as error:
                logger.warning("objects are recovered by the host itself: %s", error)
            except OSError as error:
                logger.warning("the background writer cannot recover objects, so the host does: %s", error)
        if not self._alone.issuperset(self._waiting):
            self._sweep_here()

    # By the background writer.

    def _sweep_beside(self, background: BackgroundWriter) -> None:
        """Have objects recovered by another process, some at a time; those that are left are for this one.

        What is with the other process counts as taken: whoever wants such an object waits for the few with it.
        Raises BackgroundLostError and OSError.
        """
        survey = self._survey
        segments = [str(reader.path) for reader in survey.readers]
        background.ask(ReadJournal(str(self._layout.path), str(survey.slot), segments))
        keys = sorted(set(self._waiting) - self._alone, key=lambda key: survey.objects[key].places[-1], reverse=True)
        with ThreadPoolExecutor(_BESIDE_THREADS, thread_name_prefix="roost-recovery-ask") as threads:
            for chunk in batched(keys, _TOGETHER):
                done = threads.map(lambda some: self._recover_beside(background, some), batched(chunk, _AT_A_TIME))
                synced = list(itertools.chain.from_iterable(done))
                background.ask(SyncNames(synced))
                self._finish_all(synced)

    def _recover_beside(self, background: BackgroundWriter, keys: list[bytes]) -> list[bytes]:
        taken = [] if self._closing.is_set() else [key for key in keys if self._take_free(key)]
        try:
            done = background.ask(Recover(taken)).keys if taken else []
        finally:
            self._give_back(taken)
        self._alone.update(set(taken).difference(done))  # whatever is with them is told to whoever wants them
        return done

    # By this process.

    def _sweep_here(self) -> None:
        self._sweep = Replay(self._files)
        try:
            for place in reversed(self._survey.places):
                self._bring_along(place)
            self._sync_rest()
        finally:
            self._sweep.close()

    def _bring_along(self, place: Place) -> None:
        """Write what an entry has of objects that are still to be recovered."""
        records: list[Record] = []
        try:
            for number, record in enumerate(place.records()):
                records.append(record)
                if number % _PIECE == 0:
                    time.sleep(0)  # lets go of the interpreter, which the loop may be waiting for
        except StorageCorruptError:
            # Whoever recovers them one by one finds out which of them it concerns.
            self._alone.update(content.key for content in place.reader.contents(place.entry))
            return
        for record in reversed(records):
            if self._closing.is_set():
                return
            with self._changed:
                if record.key not in self._waiting or record.key in self._taken | self._alone:
                    continue
                if record.aside:
                    self._alone.add(record.key)  # it is large, and others wait for us
                else:
                    self._apply(record)

    def _apply(self, record: Record) -> None:
        path = self._layout.object_path(record.binding, record.key)
        try:
            self._sweep.apply(path, record)
        except OSError as error:
            logger.warning("%s cannot be recovered now: %s", path, error)
            self._sweep.forget(path)
            self._alone.add(record.key)

    def _sync_rest(self) -> None:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="roost-recovery-sync") as threads:
            keys = [key for key in self._waiting if key not in self._alone]
            for start in range(0, len(keys), _TOGETHER):
                self._sync_together(threads, keys[start : start + _TOGETHER])

    def _sync_together(self, threads: ThreadPoolExecutor, keys: list[bytes]) -> None:
        """Make some files durable, then their names. Whoever opens one meanwhile waits for its file alone, or recovers
        it once more."""
        synced = [key for key in threads.map(self._sync, keys) if key is not None]
        for directories in names_of(map(self._path, synced)):
            list(threads.map(sync_directory, directories))
        self._finish_all(synced)

    def _finish_all(self, keys: list[bytes]) -> None:
        """The files of these objects are whole and durable, unless somebody was faster and has recovered them since."""
        for some in batched(keys, _PIECE):
            for key in some:
                if not self._closing.is_set() and self._take_free(key):
                    self._finish(key)
                    self._give_back([key])
            time.sleep(0)  # as above

    def _sync(self, key: bytes) -> bytes | None:
        """Make the file of an object durable that the sweep has written to; None when that is none of our business."""
        if self._closing.is_set() or not self._take_free(key):
            return None
        path = self._path(key)
        try:
            sync_object(path, self._sweep.pages(path))
        except OSError as error:
            logger.warning("%s cannot be recovered now: %s", path, error)
            self._alone.add(key)
            return None
        finally:
            self._give_back([key])
        return key

    # One by one.

    def _take(self, key: bytes) -> bool:
        """Have an object for this thread alone; false when it is recovered."""
        with self._changed:
            self._changed.wait_for(lambda: key not in self._taken)
            return self._take_locked(key)

    def _take_free(self, key: bytes) -> bool:
        with self._changed:
            return key not in self._taken and self._take_locked(key)

    def _take_locked(self, key: bytes) -> bool:
        if key not in self._waiting:
            return False
        self._taken.add(key)
        self._sweep.forget(self._path(key))  # see (3)
        return True

    def _give_back(self, keys: list[bytes]) -> None:
        with self._changed:
            self._taken.difference_update(keys)
            self._changed.notify_all()

    def _recover_alone(self, key: bytes, traces: Traces) -> None:
        path, bad = self._path(key), min(traces.lost, default=None)
        reason = "commits that were confirmed cannot be read in the journal"
        try:
            self._write(path, self._before(key, bad))
        except StorageCorruptError as error:
            reason, bad = str(error), self._first_unreadable(key)
            self._write(path, self._before(key, bad))
        if bad is not None:
            lost = traces.lost or [bad]
            self._quarantine.put(Case(key=key.hex(), binding=traces.binding, reason=_say(reason, lost), lost=lost))
            logger.error("object %s is in quarantine: %s", key.hex(), _say(reason, lost))
        self._finish(key)

    def _write(self, path: Path, newest_first: Iterator[Record]) -> None:
        replay = Replay(self._files)
        try:
            for record in newest_first:
                replay.apply(path, record)
        finally:
            replay.close()
        if list(replay.paths):
            sync_object(path, replay.pages(path))
            sync_names([path])

    def _before(self, key: bytes, bad: int | None) -> Iterator[Record]:
        """The records of an object before a commit that cannot be read."""
        for place in reversed(self._survey.objects[key].places):
            contents = [one for one in self._survey.contents_of(place) if one.key == key]
            if bad is None or any(one.commit < bad for one in contents):
                records = list(self._survey.places[place].records_of(key))
                yield from (one for one in reversed(records) if bad is None or one.commit < bad)

    def _first_unreadable(self, key: bytes) -> int:
        """The first commit of an object that stands in an entry which cannot be unpacked."""
        for place in self._survey.objects[key].places:
            try:
                for record in self._survey.places[place].records_of(key):
                    if isinstance(record.images, PartedImages):
                        record.images.verify()
            except StorageCorruptError:
                return min(one.commit for one in self._survey.contents_of(place) if one.key == key)
        raise AssertionError("one of the entries could not be unpacked a moment ago")

    def _finish(self, key: bytes) -> None:
        """The object's file is whole and durable."""
        last = self._waiting[key].last
        self._let_go(key, last)
        with self._changed:
            del self._waiting[key]
            self._changed.notify_all()

    def _path(self, key: bytes) -> Path:
        return self._layout.object_path(self._survey.objects[key].binding, key)


def batched(keys: Sequence[bytes], count: int) -> Iterator[list[bytes]]:
    """So many at a time."""
    for start in range(0, len(keys), count):
        yield list(keys[start : start + count])


def _say(reason: str, lost: list[int]) -> str:
    numbers = ", ".join(map(str, lost[:10])) + (", …" if len(lost) > 10 else "")
    return f"{reason} (commits {numbers} and what came after)"


def _translated(path: Path, error: OSError) -> StorageError:
    if is_out_of_space(error):
        return StorageFullError(f"no space left to recover {path}: {error}")
    return StorageError(f"{path} cannot be recovered: {error}")
