# One object's SQLite file.
#
#  (1) SQLite commits to a write-ahead log in memory, without syncing. The frames that a commit appended to it are what
#      the commit changed. The log's frame count comes from SQLite at each commit; it starts over at 0 exactly where a
#      checkpoint emptied the log, which happens only here.
#  (2) `undo` cuts the write-ahead log back to an earlier commit of this life: what came after never was.
#  (3) A checkpoint takes only commits that are durable in the journal. Their pages are written into the file, and the
#      file is synced, on another thread while turns go on: SQLite finds these pages in its log, not in the file. Only
#      emptying the log holds up a turn that wants the database, and that is a matter of memory (`move_pages`).
#  (4) Closing never checkpoints, so nothing that is not durable elsewhere gets into the file that way; and a
#      write-ahead log found on opening is from another version of roost: it is removed, never read.
#      A new object has no file before its first checkpoint, which makes it, off the loop and whole: what was committed
#      until then is in the journal.
#  (5) A checkpoint ends with the checksums of the pages that it moved. On opening they are compared, as far as
#      `checked_pages_max` goes: a file that is not what was written is refused, and so is one in the place of an object
#      that is neither an object's nor one on its way to become one.
#  (6) A read stays open from the first use on, across turns and commits: to begin one for every statement would ask the
#      VFS about its locks each time, which is a quarter of the cost of a small read. Nobody else writes, so it never
#      holds an old state; what SQLite does only alone on a connection ends it first (`be_alone`).
#  (7) The file's descriptor for syncing is opened after SQLite's and closed after it: closing one of ours first would
#      drop the locks that SQLite holds (POSIX).
"""A database with its commits captured."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from roost.errors import StorageCorruptError
from roost.storage import memory_wal
from roost.storage.background.background_writer import BackgroundWriter
from roost.storage.background.errands import WritePages
from roost.storage.files import Files, read_fully, sync_directory, sync_file, write_all
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.object_file import open_or_make, remove_left_behind
from roost.storage.sql import bounded_functions
from roost.storage.sums import damaged_pages, keep_sums, remove_sums, runs
from roost.storage.template import BORN, HIDDEN_TABLES, SCHEMA_VERSION, Template, is_born, stores_nothing

if TYPE_CHECKING:
    from roost.storage.sql.guard import Guard

_FRAME_HEAD = 24
_FRAME = _FRAME_HEAD + PAGE_BYTES
_PAGE_AND_SIZE = struct.Struct(">II")
"""A frame begins with its page's number and, in the last frame of a commit, the size of the database."""
_SETTINGS = ("locking_mode=EXCLUSIVE", "synchronous=OFF", "temp_store=MEMORY", "foreign_keys=ON")
_WRITE_PAGES_MAX = 256  # at once
_READ = "SELECT 1 FROM sqlite_schema"  # has a row: the hidden tables are always there

Images = dict[int, bytes | memoryview]


class Database:
    """An open object file; `size_pages_max` bounds it. Raises apsw.Error and OSError as they come.

    Raises StorageCorruptError when it is opened and is not what was written; see (5).
    """

    def __init__(self, path: Path, template: Template, size_pages_max: int, checked_pages_max: int = 64) -> None:
        self.path = path.absolute()
        self._template = template
        self._size_pages_max = size_pages_max
        self._file_fd = -1
        self._checked_pages_max = checked_pages_max
        self._frames = 0  # in the write-ahead log, as of the last commit
        self._written = 0  # of these, how many the file holds
        self._unsummed: set[int] = set()
        """Pages that were written into the file, and have the checksums of before."""
        self._moved = threading.Event()
        self._moved.set()
        self.mark = 0
        """How many frames of the write-ahead log were captured."""
        self.durable_mark = 0
        """The mark of the last commit that is durable in the journal; kept here because a checkpoint resets both."""
        self.size_pages = 0
        """The size of the database after the last commit."""
        self.born = self._look()
        """Whether there was ever a commit."""
        self._named = self.born  # a file that holds a commit got its name before
        self.closed = False
        self._wal = memory_wal.begin(str(self.path), None if self.born else template.image)
        self._reading: apsw.Cursor | None = None
        """The open read; None also while pages are being moved, which is the one thing that `ready` looks at."""
        self.connection = self._connect()
        self.statements = self.connection.cursor()
        """Runs the statements of turns that have no rows: a cursor for each would cost as much as a short one does."""

    @staticmethod
    def exists(path: Path) -> bool:
        """Whether there is a file of an object that ever committed."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return is_born(read_fully(fd, 100, 0))
        finally:
            os.close(fd)

    @staticmethod
    def check_absence(path: Path, template: Template) -> None:
        """After `exists` said no: raise StorageCorruptError if the file that is there was an object's once."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            if damaged_pages(path, fd, 1) and not template.may_be_unborn(read_fully(fd, len(template.image) + 1, 0)):
                raise StorageCorruptError(f"{path} does not begin like the file of an object any more")
        finally:
            os.close(fd)

    def _look(self) -> bool:
        """Whether there is a file that holds commits, after looking at it."""
        if not self.exists(self.path):
            self.check_absence(self.path, self._template)
            return False
        remove_left_behind(self.path)
        self.size_pages = self._checked_size()
        return True

    def _checked_size(self) -> int:
        """How many pages the file has, after looking at its checksums."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            damaged = damaged_pages(self.path, fd, self._checked_pages_max)
            if damaged:
                raise StorageCorruptError(f"{self.path} is not what was written: {said_pages(damaged)}")
            return os.fstat(fd).st_size // PAGE_BYTES
        finally:
            os.close(fd)

    def _connect(self) -> apsw.Connection:
        self.guard: Guard | None = None
        """Watches over users' statements, from the first one on this connection on."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=memory_wal.NAME)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        settings = "".join(f"PRAGMA {setting};" for setting in (*_SETTINGS, f"max_page_count={self._size_pages_max}"))
        connection.execute(settings).fetchall()  # a statement runs only as far as its rows are read
        bounded_functions.install(connection)
        connection.wal_autocheckpoint(0)  # is itself a hook of the write-ahead log, so it comes before ours
        connection.set_wal_hook(self._on_commit)
        return connection

    def _on_commit(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK

    # Turns.

    def ready(self) -> None:
        """Wait until no pages are being moved, and have a read open; to be called before a turn's first use."""
        if self._reading is None:
            self._moved.wait()
            with contextlib.suppress(apsw.Error):  # what the turn is going to run fails in the same way, and is heard
                self._reading = self.connection.execute(_READ)  # has stopped at its first row

    def be_alone(self) -> None:
        """Close the read that stays open, until `ready` opens it again: before what SQLite refuses beside one."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close(True)

    def begin(self) -> None:
        """Open a transaction."""
        self.statements.execute("BEGIN IMMEDIATE")

    def commit(self) -> tuple[Images, int]:
        """Commit, and capture all that was committed since the last capture: page images, and the size in pages."""
        if self.connection.in_transaction:
            self.statements.execute("COMMIT")
        return self._capture()

    def rollback(self) -> None:
        """Drop the open transaction, if there is one. After an error SQLite starts afresh only when nothing reads."""
        self.be_alone()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def mark_born(self) -> None:
        """In the first transaction: let the file say that it holds commits."""
        self.connection.execute(f"PRAGMA application_id={BORN}")
        self.set_meta("format", SCHEMA_VERSION)

    def set_meta(self, key: str, value: int | str) -> None:
        """Keep something about the object beside its values."""
        self.connection.execute("INSERT OR REPLACE INTO _roost_meta VALUES (?, ?)", (key, value))

    def reset(self) -> None:
        """Empty the database, whole, tables and all, and open a transaction that makes the hidden tables anew."""
        self.rollback()
        self.connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 1)
        try:
            self.connection.execute("VACUUM")
        finally:
            self.connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 0)
        self.begin()
        self.connection.execute(HIDDEN_TABLES)
        self.mark_born()

    def is_empty(self) -> bool:
        """Whether nothing is stored: nothing but the hidden tables, and in those only what is kept about the object."""
        return stores_nothing(self.connection)

    def size_bytes(self) -> int:
        """The bytes of the pages in use."""
        pages, free = self.connection.pragma("page_count"), self.connection.pragma("freelist_count")
        return int(pages - free) * PAGE_BYTES

    @property
    def wal_bytes(self) -> int:
        """How much the write-ahead log holds, whether it is in the file too or not."""
        return self.mark * _FRAME

    def _capture(self) -> tuple[Images, int]:
        first, last = self.mark, self._frames
        images: Images = {}
        if first == last:
            return images, 0
        size = 0
        heads, pages = self._wal.heads, self._wal.pages
        for frame in range(first, last):
            page, size = _PAGE_AND_SIZE.unpack_from(heads[frame])
            images[page] = pages[frame]
        if not self.born:
            images = {**dict(self._template.pages()), **images}
        self.size_pages = size
        self.mark = last
        return images, size

    def undo(self, mark: int) -> None:
        """Drop the open transaction, and everything that was committed after `mark` was the mark."""
        self.rollback()
        if self._frames == mark:
            return
        self.connection.close(True)
        self._wal.cut(mark)
        self.mark = self._frames = mark
        self.connection = self._connect()
        self.statements = self.connection.cursor()
        self.born = self.connection.pragma("application_id") == BORN
        self.size_pages = self.connection.pragma("page_count") if self.born else 0

    # Checkpoints.

    @property
    def unwritten_bytes(self) -> int:
        """How much of the durable commits is not in the file."""
        return (self.durable_mark - self._written) * _FRAME

    def write_pages(self, mark: int) -> None:
        """Write the pages of all commits up to a durable mark into the file. On any thread, while turns go on."""
        images, size = self._unwritten(mark)
        if not images:
            return
        fd = self._descriptor()
        for first, count in runs(images, _WRITE_PAGES_MAX):
            run = b"".join([images[page] for page in range(first, first + count)])
            write_all(Files(), fd, run, (first - 1) * PAGE_BYTES)
        if os.fstat(fd).st_size != size * PAGE_BYTES:
            os.ftruncate(fd, size * PAGE_BYTES)
        self._unsummed.update(images)
        self._written = mark

    def write_beside(self, mark: int, background: BackgroundWriter) -> None:
        """Do what `write_pages` and `sync` do, in another process. On any thread, while turns go on.

        Raises BackgroundLostError when there is none: then nothing is known of it, and it can be done here.
        UnsyncedError is what OSError is of `sync`.
        """
        images, size = self._unwritten(mark)
        errand = WritePages(str(self.path), list(images), size, list(self._unsummed), not self._named)
        background.ask(errand, list(images.values()))
        self._written = mark
        self._unsummed.clear()
        self._named = True

    def _unwritten(self, mark: int) -> tuple[dict[int, bytes], int]:
        """The last image of each page that is not in the file yet, in order, and how many pages the database has by
        then. Nothing and 0 where nothing is new."""
        heads, pages = self._wal.heads[self._written : mark], self._wal.pages
        if not heads:
            return {}, 0
        size = _PAGE_AND_SIZE.unpack_from(heads[-1])[1]
        frames = dict(zip(_pages_of(heads), range(self._written, mark), strict=True))
        images = {} if self._is_made else dict(self._template.pages())
        images |= {page: pages[frame] for page, frame in frames.items()}
        return {page: images[page] for page in sorted(images) if page <= size}, size

    @property
    def _is_made(self) -> bool:
        """Whether the file is there, with every page that is not in the log's part that was not written yet."""
        return self._written > 0 or self._wal.image is None

    def _descriptor(self) -> int:
        if self._file_fd < 0:
            self._file_fd = self._open_file()
        return self._file_fd

    def _open_file(self) -> int:
        if self._named:
            return os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        if not self._is_made:
            remove_sums(self.path)
        return open_or_make(self.path)

    def begin_checkpoint(self) -> None:
        """Announce `move_pages`: turns wait from now on."""
        self._moved.clear()
        self.be_alone()

    def move_pages(self) -> None:
        """Empty the write-ahead log, writing the pages into the file that are not there yet. On any thread."""
        try:
            if not self._is_made:
                self.write_pages(self._frames)
            heads = self._wal.heads[self._written : self._frames]
            unwritten = self._wal.unwritten = {_PAGE_AND_SIZE.unpack_from(head)[0] for head in heads}
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            if self._frames:
                self._wal.image = None
            if self._wal.xFileSize():
                raise OSError(f"the checkpoint of {self.path} left something in its write-ahead log")
            self.mark = self.durable_mark = self._frames = self._written = 0
            self._unsummed.update(unwritten)
        finally:
            self._wal.unwritten = None
            self._moved.set()

    def sync(self) -> None:
        """Make the file durable, with its checksums, and its name when it is new. On any thread."""
        is_first, fd = not self._named, self._descriptor()
        sync_file(fd)
        keep_sums(self.path, fd, self._unsummed, name_too=not is_first)
        self._unsummed.clear()
        if is_first:
            for directory in (self.path.parent, self.path.parent.parent, self.path.parent.parent.parent):
                sync_directory(directory)
            self._named = True

    def close(self) -> None:
        """Close the file, and drop what is in the write-ahead log: it is in the file, or in the journal, or nowhere."""
        if self.closed:
            return
        self.closed = True
        self.connection.close(True)
        memory_wal.end(str(self.path))
        if self._file_fd >= 0:
            os.close(self._file_fd)

    def remove(self) -> None:
        """Close, and remove the file."""
        self.close()
        remove_sums(self.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def _pages_of(heads: list[bytes]) -> Sequence[int]:
    """The page of each frame; all at once, since a long log one by one keeps the interpreter busy for milliseconds."""
    words = array("I", b"".join(heads))
    if sys.byteorder == "little":
        words.byteswap()
    return words[:: _FRAME_HEAD // words.itemsize]


def said_pages(pages: list[int]) -> str:
    """`page 3`, `pages 1, 2, 3 and 17 more`."""
    shown = ", ".join(map(str, pages[:10])) + (f" and {len(pages) - 10} more" if len(pages) > 10 else "")
    return f"page{'' if len(pages) == 1 else 's'} {shown}"
