# The agenda of a host: when which of its objects is to be rung.
#
#  (1) It follows the objects' files: `note` is told what a commit made of an object's earliest alarm once that commit
#      is durable. So the agenda never knows of an alarm that a crash could take back.
#  (2) What is noted is in memory until the agenda's thread has written it. After a crash the journal's records tell it
#      again (`replay`); therefore a part of the journal is let go of only after `flush`, which makes durable all that
#      was noted before. When it cannot be written, nothing is lost: `flush` raises, and the journal stays.
#  (3) Memory does not grow with the number of alarms: what rings next is in a bounded window, the rest in the file.
#  (4) An entry that is taken is held until it is released or deferred: it is not given out twice, and what is noted
#      meanwhile is what counts then.
#  (5) When the file was lost or damaged, the objects' files are scanned beside the work. What is noted, replayed or
#      opened during the scan is newer than what the scan finds.
#  (6) Everything here is for the owner's loop, but for `flush`. What the thread has done comes back by `post`, in
#      order: so what was loaded before a batch was written meets that batch still in memory, and is corrected by it.
"""The agenda: an index of all alarms of a host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from roost.ids import ObjectId
from roost.storage.alarms.agenda_file import AgendaFile, Content, entry_of
from roost.storage.alarms.agenda_reader import Failed
from roost.storage.alarms.agenda_scan import Found, Scan
from roost.storage.alarms.agenda_window import END, Entry, Moment, Window
from roost.storage.alarms.agenda_writer import LOAD_COUNT, AgendaWriter, Post
from roost.storage.alarms.alarms import FailedAlarm

logger = logging.getLogger("roost.storage")

WINDOW_MAX = 4 * LOAD_COUNT


def _own_all(key: bytes) -> bool:
    return True


def _none_open() -> Iterable[tuple[ObjectId, int | None]]:
    return ()


class Agenda:
    """The alarms of one host's objects.

    `directory` is the host's own, `objects` that of all objects' files; `owns` tells which of them are this host's.
    `opened_now` lists the objects whose files are open, with their earliest alarm. `post` calls back on the loop.

    Raises StorageFullError and StorageError when its file cannot be opened.
    """

    def __init__(
        self,
        directory: Path,
        *,
        post: Post,
        objects: Path,
        owns: Callable[[bytes], bool] = _own_all,
        opened_now: Callable[[], Iterable[tuple[ObjectId, int | None]]] = _none_open,
        file: AgendaFile | None = None,
    ) -> None:
        self._post = post
        self._objects = objects
        self._owns = owns
        self._opened_now = opened_now
        self._file = file or AgendaFile(directory, complete=not any(objects.iterdir()))
        self._window = Window(WINDOW_MAX)
        self._held: dict[bytes, Entry] = {}
        self._bindings: Sequence[str] | None = None
        self._on_change: Callable[[], None] = lambda: None
        self._loading = False
        self._known: set[bytes] | None = None if self._file.complete else set()
        """While the file is not complete: the objects that are right in it, or on their way."""
        self._scan: Scan | None = None
        self._writer = AgendaWriter(self._file, post=post, loaded=self._loaded, lost=self._lost)

    # -- what is true --------------------------------------------------------------------------------------------------

    def note(self, object_id: ObjectId, due: int | None) -> None:
        """The earliest alarm of the object is due then, durably; None: it has none."""
        self._put(Entry(object_id.key, object_id.binding, _plain(object_id.name), due, due or 0))

    def opened(self, object_id: ObjectId, due: int | None) -> None:
        """The object's file was opened, and says this."""
        if self._known is not None:
            self.note(object_id, due)

    def replay(self, contents: Iterable[Content]) -> None:
        """What the journal tells after a crash, in its order."""
        for content in contents:
            self._put(entry_of(content))

    def alarm_failed(self, object_id: ObjectId, failed: FailedAlarm) -> None:
        """An alarm was given up; list it."""
        name = _plain(object_id.name)
        self._writer.add_failed(Failed(object_id.key, object_id.binding, name, *msgspec.structs.astuple(failed)))

    def forgive(self, key: bytes, alarm: str) -> None:
        """The object's failed alarm of that key is not to be listed any more."""
        self._writer.forgive(key, alarm)

    def _put(self, entry: Entry) -> None:
        if self._known is not None:
            self._known.add(entry.key)
        self._writer.add(entry)
        if entry.key in self._held:
            self._held[entry.key] = entry
            return
        before = self._window.first()
        self._window.put(entry)
        if self._bindings is not None:
            self._tell(before)

    def _tell(self, before: Entry | None) -> None:
        """Let the clock look again when something comes earlier than what came first."""
        first = self._window.first()
        if first is not None and (before is None or first.at < before.at):
            self._on_change()
        self._refill()

    # -- who rings next ------------------------------------------------------------------------------------------------

    def start(self, bindings: Iterable[str], on_change: Callable[[], None]) -> None:
        """From now on give out the entries of these classes. `on_change`: what comes first has changed."""
        self._bindings = sorted(bindings)
        self._on_change = on_change
        self._refill()
        self._scan_if_incomplete()

    def first(self) -> int | None:
        """When the next entry is to be rung; None when none is known."""
        entry = self._window.first()
        return None if entry is None else entry.at

    def take(self, now_ms: int) -> Entry | None:
        """The entry that is to be rung now, if there is one. Nobody else gets it until it is released or deferred."""
        entry = self._window.first()
        if entry is None or entry.at > now_ms:
            return None
        self._window.remove(entry.key)
        self._held[entry.key] = entry
        self._refill()
        return entry

    def held(self, key: bytes) -> Entry:
        """What is true now of an object that was taken."""
        return self._held[key]

    def release(self, key: bytes) -> None:
        """The object was rung: it rings again when its entry says so."""
        entry = self._held.pop(key)
        before = self._window.first()
        self._window.put(entry)
        self._tell(before)

    def defer(self, key: bytes, at: int, tries: int) -> None:
        """The object could not be rung, so many times by now: it is tried again then, and not before."""
        entry = self._held.pop(key)
        if entry.due is not None:
            self._put(msgspec.structs.replace(entry, at=max(at, entry.due), tries=tries))

    def count(self, told: Callable[[dict[str, int]], None]) -> None:
        """Have counted how many objects of each class have an alarm, in the file, which is read whole for it."""
        self._writer.ask(lambda file: file.counts(), told)

    def _refill(self) -> None:
        """Have more loaded before the window runs dry."""
        if self._bindings is None or self._loading or self._window.horizon == END:
            return
        if len(self._window) < LOAD_COUNT // 2:
            self._loading = True
            self._writer.load(self._window.horizon, self._bindings)

    # -- what the thread has done; called on the loop ------------------------------------------------------------------

    def _loaded(self, after: Moment, rows: list[Entry]) -> None:
        self._loading = False
        if after != self._window.horizon:
            self._refill()  # it moved back meanwhile: these do not follow on it
            return
        horizon = END if len(rows) < LOAD_COUNT else rows[-1].moment
        waiting = self._writer.waiting()
        between = [row for row in rows if row.key not in waiting]
        between += [entry for entry in waiting.values() if self._lies_between(entry, after, horizon)]
        before = self._window.first()
        self._window.extend([entry for entry in between if entry.key not in self._held], horizon)
        self._tell(before)

    def _lies_between(self, entry: Entry, after: Moment, horizon: Moment) -> bool:
        assert self._bindings is not None, "nothing is loaded before the start"
        return entry.due is not None and after < entry.moment <= horizon and entry.binding in self._bindings

    def _lost(self) -> None:
        """The file was damaged, and is empty now: begin anew with what is in memory, and look for the rest."""
        if self._scan is not None:
            self._scan.stop()
            self._scan = None
        self._known = set(self._writer.waiting())
        self._window.clear()
        for entry in self._held.values():
            self._put(entry)
        for object_id, due in self._opened_now():
            self.note(object_id, due)
        self._refill()
        self._scan_if_incomplete()

    # -- the scan ------------------------------------------------------------------------------------------------------

    def _scan_if_incomplete(self) -> None:
        if self._known is not None and self._scan is None and self._bindings is not None:
            logger.warning("the agenda of alarms is not complete: it is made anew from the objects' files")
            self._scan = Scan(self._objects, self._owns, self._post, self._found, self._found_all)

    def _found(self, found: list[Found]) -> None:
        for one in found:
            for failed in one.failed:
                self._writer.add_failed(failed)
            if self._known is not None and one.entry is not None and one.entry.key not in self._known:
                self._put(one.entry)

    def _found_all(self, looked_at: int, had_alarms: int, unreadable: int) -> None:
        self._scan = None
        self._known = None
        self._writer.set_complete()
        logger.warning(
            "the agenda of alarms was made anew: of %d objects %d have alarms%s",
            looked_at,
            had_alarms,
            f"; {unreadable} files could not be read" if unreadable else "",
        )

    # -- the end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Give out nothing more; what is noted is still written."""
        self._bindings = None
        self._on_change = lambda: None
        if self._scan is not None:
            self._scan.stop()
            self._scan = None

    def flush(self) -> None:
        """Return once everything that was noted is durable. From any thread; blocks.

        Raises StorageFullError when there is no room for it, StorageError when it cannot be written.
        """
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and let go of the file; blocks. What cannot be written is told again by the journal."""
        self.stop()
        self._writer.close()


def _plain(name: str | None) -> str | None:
    """SQLite's JSON ends a text at its first zero: rather no name than a wrong one."""
    return None if name is None or "\0" in name else name
