# Looking for alarms where they are, when the agenda does not know them: in the objects' files.
#
#  (1) It is a repair and may take its time: one thread, one file after the other, and no more found than the loop has
#      taken.
#  (2) A file is read as it lies there, without locks and without its write-ahead log, so its host is not disturbed. It
#      may be read while it is changed, and then what is found is wrong. That does no harm: the agenda knows what was
#      opened, noted or replayed since the scan began, and takes nothing that is found of those objects.
"""The scan of all objects' files for alarms."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import apsw
import msgspec

from roost.ids import ID_BYTES
from roost.storage.alarms import alarms
from roost.storage.alarms.agenda_reader import Failed
from roost.storage.alarms.agenda_window import Entry
from roost.storage.database import Database

logger = logging.getLogger("roost.storage")

_TOGETHER = 256


class Found(msgspec.Struct, frozen=True):
    """What one object's file says."""

    entry: Entry | None
    failed: list[Failed]


class Scan:
    """A scan that has begun. `found` and `done` are called by `post`; `done` once, unless it is stopped before: with
    how many objects were looked at, how many of them have alarms, and how many files could not be read."""

    def __init__(
        self,
        objects: Path,
        owns: Callable[[bytes], bool],
        post: Callable[[Callable[[], None]], None],
        found: Callable[[list[Found]], None],
        done: Callable[[int, int, int], None],
    ) -> None:
        self._objects = objects
        self._owns = owns
        self._post = post
        self._found = found
        self._done = done
        self._stopped = threading.Event()
        self._taken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="roost-agenda-scan", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no further; nothing is called any more."""
        self._stopped.set()
        self._taken.set()
        self._thread.join()

    def _run(self) -> None:
        looked_at = had_alarms = unreadable = 0
        together: list[Found] = []
        for path, key in object_files(self._objects):
            if self._stopped.is_set():
                return
            if not self._owns(key):
                continue
            looked_at += 1
            try:
                found = look_into(path, key)
            except apsw.Error as error:
                unreadable += 1
                logger.warning("%s cannot be searched for alarms: %s", path, error)
                continue
            if found is not None:
                had_alarms += found.entry is not None
                together.append(found)
            if len(together) >= _TOGETHER:
                self._hand_over(together)
                together = []
        self._hand_over(together)
        self._tell(lambda: self._done(looked_at, had_alarms, unreadable))

    def _hand_over(self, together: list[Found]) -> None:
        self._taken.clear()
        self._tell(lambda: self._take(together))
        self._taken.wait()

    def _take(self, together: list[Found]) -> None:
        self._found(together)
        self._taken.set()

    def _tell(self, function: Callable[[], None]) -> None:
        try:
            self._post(lambda: None if self._stopped.is_set() else function())
        except RuntimeError:
            self._stopped.set()  # the loop is closed: nobody wants to know
            self._taken.set()


def object_files(objects: Path) -> Iterator[tuple[Path, bytes]]:
    """Every object's file, and its key."""
    for path in objects.glob("*/*/*.sqlite"):
        try:
            key = bytes.fromhex(path.stem)
        except ValueError:
            continue  # not one of ours
        if len(key) == ID_BYTES:
            yield path, key


def look_into(path: Path, key: bytes) -> Found | None:
    """What a file says of alarms, if it says anything. Raises apsw.Error when it cannot be read."""
    if not Database.exists(path):
        return None
    uri = f"file:{quote(str(path.absolute()))}?immutable=1"
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        due, failed = alarms.earliest(connection), alarms.failed(connection)
        if due is None and not failed:
            return None
        meta = dict(connection.execute("SELECT key, value FROM _roost_meta"))
    finally:
        connection.close(True)
    binding, name = path.parent.parent.name, meta.get("name")
    entry = None if due is None else Entry(key, binding, name, due, due)
    return Found(entry, [Failed(key, binding, name, *msgspec.structs.astuple(one)) for one in failed])
