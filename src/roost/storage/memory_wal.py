# Write-ahead logs in memory.
#
#  (1) Nothing in an object's write-ahead log is ever needed after a crash: what was confirmed is in the journal. On a
#      disk it would cost a commit system calls, be written out all the same, and make a commit wait, with the whole
#      loop, whenever the disk is so busy that the system holds back whoever dirties its cache.
#  (2) SQLite hands over each frame as its head and its page. Both are kept as they come, so a page that a commit
#      changed is taken from here without being copied.
#  (3) Only the write-ahead log is here; everything else passes through to the file system, but for the pages that a
#      checkpoint would write although they are in the file already: `unwritten` tells which are not.
#  (4) A new database has no file: as long as its log was never emptied, all that SQLite could find in one is the image
#      with which it began. So SQLite is given that, whatever a checkpoint has written meanwhile, and the file is opened
#      when the log is emptied.
"""A VFS for SQLite that keeps write-ahead logs in memory."""

# ruff: noqa: N802 - the names of methods are SQLite's

from __future__ import annotations

from typing import Any

import apsw

from roost.storage.journal.record import PAGE_BYTES

NAME = "roost"
"""Of the VFS; opening a connection with it is all there is to do."""
_HEADER = 32
_FRAME_HEAD = 24
_FRAME = _FRAME_HEAD + PAGE_BYTES
_SUFFIX = "-wal"
_JOURNAL = "-journal"


class Wal:
    """One write-ahead log, as SQLite sees it: a file."""

    __slots__ = ("_header", "heads", "image", "pages", "unwritten")

    def __init__(self, image: bytes | None = None) -> None:
        self._header = b""
        self.image = image
        """What a new database began with, before its log is emptied for the first time; None: what the file holds."""
        self.heads: list[bytes] = []
        """The head of each frame: the number of its page first, then in the last of a commit the database's size."""
        self.pages: list[bytes] = []
        self.unwritten: set[int] | None = None
        """Which pages a checkpoint must write into the database's file; None: all that it moves."""

    def cut(self, frames: int) -> None:
        """Forget the frames behind the first so many; with 0, everything."""
        if frames == 0:
            self._header = b""
        del self.heads[frames:]
        del self.pages[frames:]

    def xRead(self, amount: int, offset: int) -> bytes:
        frame, within = divmod(offset - _HEADER, _FRAME)
        if within == _FRAME_HEAD and amount == PAGE_BYTES and frame >= 0:
            return self.pages[frame] if frame < len(self.pages) else b""
        return self._read_across(amount, offset)

    def _read_across(self, amount: int, offset: int) -> bytes:
        first = max((offset - _HEADER) // _FRAME, 0)
        last = max((offset + amount - _HEADER) // _FRAME + 1, 0)
        frames = b"".join(map(bytes.__add__, self.heads[first:last], self.pages[first:last]))
        start = offset - _HEADER - first * _FRAME
        if start >= 0:
            return frames[start : start + amount]
        return (self._header + frames)[offset : offset + amount]

    def xWrite(self, data: bytes, offset: int) -> None:
        frame, within = divmod(offset - _HEADER, _FRAME)
        if within == _FRAME_HEAD and len(data) == PAGE_BYTES:
            _put(self.pages, frame, data)
        elif frame < 0 and len(data) == _HEADER:
            self._header = data
        else:
            assert (within, len(data)) == (0, _FRAME_HEAD), "SQLite writes a frame as its head and its page"
            _put(self.heads, frame, data)

    def xTruncate(self, size: int) -> None:
        self.cut(max(size - _HEADER, 0) // _FRAME)

    def xFileSize(self) -> int:
        return _HEADER + len(self.pages) * _FRAME if self._header else 0

    def xSync(self, flags: int) -> None:
        """Nothing here need be durable."""

    def xClose(self) -> None:
        """It is dropped by whoever made it."""

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return PAGE_BYTES

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xLock(self, level: int) -> None:
        """SQLite locks the database, not its log."""

    def xUnlock(self, level: int) -> None:
        """See xLock."""

    def xCheckReservedLock(self) -> bool:
        return False


def _put(items: list[bytes], at: int, item: bytes) -> None:
    if at == len(items):
        items.append(item)
    else:
        items[at] = item


class _File(apsw.VFSFile):
    """The database itself, which is written to by checkpoints only."""

    def __init__(self, name: Any, flags: list[int], log: Wal) -> None:
        super().__init__("", name, flags)
        self._log = log

    def xWrite(self, data: bytes, offset: int) -> None:
        unwritten = self._log.unwritten
        if unwritten is None or offset // PAGE_BYTES + 1 in unwritten:
            super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        if size != self.xFileSize():
            super().xTruncate(size)


class _NewFile:
    """A database whose file SQLite has no need of yet; see (4)."""

    def __init__(self, path: str, flags: int, log: Wal) -> None:
        self._path = path
        self._flags = flags
        self._log = log
        self._lock = 0
        self._file: _File | None = None

    def _opened(self) -> _File:
        """The file, which is there now, locked as SQLite wanted it."""
        if self._file is None:
            file = _File(self._path, [self._flags, 0], self._log)
            for level in sorted({min(self._lock, apsw.SQLITE_LOCK_SHARED), self._lock}):
                file.xLock(level)
            self._file = file
        return self._file

    def xRead(self, amount: int, offset: int) -> bytes:
        image = self._log.image
        return self._opened().xRead(amount, offset) if image is None else image[offset : offset + amount]

    def xWrite(self, data: bytes, offset: int) -> None:
        self._opened().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._opened().xTruncate(size)

    def xFileSize(self) -> int:
        image = self._log.image
        return self._opened().xFileSize() if image is None else len(image)

    def xSync(self, flags: int) -> None:
        self._opened().xSync(flags)

    def xLock(self, level: int) -> None:
        if self._file is not None:
            self._file.xLock(level)
        self._lock = max(self._lock, level)

    def xUnlock(self, level: int) -> None:
        if self._file is not None:
            self._file.xUnlock(level)
        self._lock = min(self._lock, level)

    def xCheckReservedLock(self) -> bool:
        return self._file is not None and self._file.xCheckReservedLock()

    def xFileControl(self, op: int, pointer: int) -> bool:
        return self._file is not None and self._file.xFileControl(op, pointer)

    def xSectorSize(self) -> int:
        return PAGE_BYTES

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        if self._file is not None:
            self._file.xClose()


class _Vfs(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(NAME, base="")
        self.logs: dict[str, Wal] = {}

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            return self.logs[path]
        log = self.logs.get(f"{path}{_SUFFIX}")
        if log is None:
            return apsw.VFSFile("", name, flags)
        return _File(name, flags, log) if log.image is None else _NewFile(path, flags[0], log)

    def xFullPathname(self, name: str) -> str:
        return name  # an absolute path: nothing need be looked up, and the log goes by the same name

    def xAccess(self, path: str, flags: int) -> bool:
        log = self.logs.get(path)
        if log is not None:
            return log.xFileSize() > 0
        database = self.logs.get(path.removesuffix(_JOURNAL) + _SUFFIX) if path.endswith(_JOURNAL) else None
        return (database is None or database.image is None) and super().xAccess(path, flags)

    def xDelete(self, path: str, sync: bool) -> None:
        log = self.logs.get(path)
        if log is None:
            super().xDelete(path, sync)
        else:
            log.cut(0)


_vfs = _Vfs()  # SQLite knows it by name, for as long as the process lives


def begin(path: str, image: bytes | None = None) -> Wal:
    """Have the database that is opened by this absolute path log into memory from its next opening on.

    One that is new begins with `image`. It needs its file, which then must hold what was committed, when the log is
    emptied; afterwards the log's `image` is to be None.
    """
    log = _vfs.logs[path + _SUFFIX] = Wal(image)
    return log


def end(path: str) -> None:
    """The database is closed; its log is dropped."""
    _vfs.logs.pop(path + _SUFFIX, None)
