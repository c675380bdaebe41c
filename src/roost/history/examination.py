# Looking for damage in a data directory, whether or not its hosts run; nothing is changed.
#
#  (1) While a host serves, its files change as they are read, and what looks like damage may be a checkpoint half way.
#      So what is found is looked at again before it is told: damage stays. A page that recovery would write anew is not
#      damaged.
#  (2) A file is compared with its checksums. `thoroughly`, SQLite checks each object too, and archives are read whole.
"""Examination: is everything in a data directory as it was written?"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from roost.errors import StorageError
from roost.history.archive import ArchiveReader
from roost.history.journal_view import SegmentRecycledError, live_entries, live_slots
from roost.history.live_state import copy_live
from roost.history.shelf import Shelf
from roost.ids import ObjectId
from roost.storage.database import said_pages
from roost.storage.files import Files, write_all
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.recovery.survey import Survey
from roost.storage.sums import damaged_pages, unchecked_pages

T = TypeVar("T")

_LOOKS = 3
_PAUSE_SECONDS = 0.2
_VERSIONS_AT = 18  # two bytes of SQLite's header: 2 is a database with a write-ahead log, 1 one without
_SAID_MAX = 5


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it should be."""

    what: str
    object: str = ""
    """The id, where one object is concerned, as 64 hexadecimal digits."""
    binding: str = ""
    path: str = ""
    """Within the data directory, where it is one file."""


class Examination:
    """Looks at a data directory. What it looked at is counted as it goes."""

    def __init__(self, data: Path, *, thoroughly: bool = False, pause: Callable[[float], None] = time.sleep) -> None:
        self._data = data
        self._thoroughly = thoroughly
        self._pause = pause
        self.objects = 0
        self.pages = 0
        self.unchecked = 0
        """Pages that have no checksum yet."""
        self.archives = 0
        self.entries = 0
        """Of the journals."""

    def problems(self) -> Iterator[Problem]:
        """Everything that is found, one after the other."""
        for case in Quarantine(self._data).cases():
            yield Problem(f"in quarantine: {case.reason}", case.key, case.binding)
        yield from self._of_journals()
        for binding, path in self._object_files():
            yield from self.problems_of(ObjectId(bytes.fromhex(path.stem), binding))
        if self._thoroughly:
            yield from self._of_archives()

    def problems_and_quarantine_of(self, object_id: ObjectId) -> Iterator[Problem]:
        """What is wrong with one object, and why it is not served."""
        case = Quarantine(self._data).case(object_id.key)
        if case is not None:
            yield Problem(f"in quarantine: {case.reason}", case.key, case.binding)
        yield from self.problems_of(object_id)

    def problems_of(self, object_id: ObjectId) -> Iterator[Problem]:
        """What is wrong with the file of one object."""
        path = self._data / "objects" / object_id.binding / object_id.key.hex()[:2] / f"{object_id.key.hex()}.sqlite"
        if not path.exists():
            return
        self.objects += 1
        self.pages += path.stat().st_size // PAGE_BYTES
        self.unchecked += unchecked_pages(path, path.stat().st_size // PAGE_BYTES)
        where = str(path.relative_to(self._data))
        damaged = self._lasting(lambda: self._damaged(object_id, path))
        if damaged:
            what = f"not what was written: {said_pages(damaged)}"
            yield Problem(what, object_id.key.hex(), object_id.binding, where)
        elif self._thoroughly:
            for said in self._lasting(lambda: self._what_sqlite_says(object_id, path)):
                yield Problem(said, object_id.key.hex(), object_id.binding, where)

    def _lasting(self, look: Callable[[], list[T]]) -> list[T]:
        """What is found at each of several looks; see (1)."""
        found = look()
        for _ in range(_LOOKS - 1):
            if not found:
                return found
            self._pause(_PAUSE_SECONDS)
            again = look()
            found = [one for one in found if one in again]
        return found

    def _damaged(self, object_id: ObjectId, path: Path) -> list[int]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        try:
            damaged = damaged_pages(path, fd)
        finally:
            os.close(fd)
        mended = self._pages_to_recover(object_id.key) if damaged else set()
        return [page for page in damaged if page not in mended]

    def _pages_to_recover(self, key: bytes) -> set[int]:
        found: set[int] = set()
        for slot in live_slots(self._data):
            with contextlib.suppress(StorageError, OSError), _surveyed(self._data / "hosts" / str(slot)) as survey:
                traces = survey.objects.get(key)
                for place in traces.places if traces is not None and not traces.lost else ():
                    found.update(page for record in survey.places[place].records_of(key) for page in record.images)
        return found

    def _what_sqlite_says(self, object_id: ObjectId, path: Path) -> list[str]:
        """What SQLite finds wrong with the object's file, or with the object as it is now where that is elsewhere."""
        with tempfile.NamedTemporaryFile(prefix="check-", suffix=".sqlite", dir=self._data) as file:
            try:
                if self._pages_to_recover(object_id.key):
                    copy_live(self._data, object_id, file)
                else:
                    with path.open("rb") as source:
                        shutil.copyfileobj(source, file)
                    file.flush()
            except FileNotFoundError:
                return []
            except StorageError as error:
                return [str(error)]
            if os.fstat(file.fileno()).st_size == 0:
                return []
            write_all(Files(), file.fileno(), b"\x01\x01", _VERSIONS_AT)
            said = integrity(Path(file.name))
            return [said] if said else []

    def _of_journals(self) -> Iterator[Problem]:
        for slot in live_slots(self._data):
            path = self._data / "hosts" / str(slot)
            yield from self._lasting(lambda path=path: _lost_in(path, f"hosts/{path.name}"))  # type: ignore[misc]
        yield from self._lasting(self._unreadable_entries)

    def _unreadable_entries(self) -> list[Problem]:
        count = 0
        try:
            for entry in live_entries(self._data):
                count += 1
                for _ in entry.records():
                    pass
        except SegmentRecycledError:
            return []  # its host was faster; what was in it is in its archive
        except StorageError as error:
            return [Problem(str(error), path="hosts")]
        self.entries = count
        return []

    def _of_archives(self) -> Iterator[Problem]:
        shelf = Shelf(self._data)
        with shelf.reading():
            for path in shelf.archives():
                self.archives += 1
                try:
                    with ArchiveReader(path) as archive:
                        archive.verify()
                except StorageError as error:
                    yield Problem(str(error), path=str(path.relative_to(self._data)))

    def _object_files(self) -> Iterator[tuple[str, Path]]:
        for directory, _, names in sorted(os.walk(self._data / "objects")):
            for name in sorted(names):
                path = Path(directory) / name
                if len(path.stem) == 64 and path.suffix == ".sqlite":
                    yield path.parent.parent.name, path


def _lost_in(slot: Path, where: str) -> list[Problem]:
    """Confirmed commits that the journal of a slot has lost."""
    try:
        with _surveyed(slot) as survey:
            return [
                Problem(f"{len(traces.lost)} confirmed commits cannot be read", key.hex(), traces.binding, where)
                for key, traces in survey.objects.items()
                if traces.lost
            ]
    except (StorageError, OSError) as error:
        return [Problem(str(error), path=where)]


def _surveyed(slot: Path) -> contextlib.closing[Survey]:
    return contextlib.closing(Survey(slot))


def integrity(file: Path) -> str:
    """What SQLite says of a database that nobody uses; empty when it is whole."""
    try:
        connection = apsw.Connection(
            f"{file.absolute().as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            said = [str(line) for (line,) in connection.execute(f"PRAGMA integrity_check({_SAID_MAX})")]
        finally:
            connection.close(True)
    except apsw.Error as error:
        return f"SQLite cannot read it: {error}"
    return "" if said == ["ok"] else f"SQLite says: {'; '.join(said)}"
