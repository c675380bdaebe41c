# Objects' files, put together from a snapshot's copies and from what was committed after them.
#
#  (1) A copy may be of no state that its object ever had; all that was committed since the snapshot began, applied in
#      order, makes it one.
#  (2) The copy of an object that was damaged then is an earlier state, whole by itself. What was committed between it
#      and the snapshot may be missing: so only what follows its last commit is applied to it, or what has every page.
"""Objects' files, put together from a snapshot's copies and from what was committed after them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from roost.backup.catalog import Place, merged, read_catalog
from roost.backup.pack import Copy, PackReader
from roost.backup.series import Series, Snapshot
from roost.backup.shipped_log import ShippedLog
from roost.history.live_state import apply
from roost.storage.journal.record import Record
from roost.storage.layout import make_private
from roost.storage.template import is_born


class Parts(msgspec.Struct, frozen=True):
    """What there is of one object: its copy, and the shipments that have commits of it."""

    binding: str
    key: bytes
    copy: Copy | None
    numbers: list[int]

    @property
    def place(self) -> Place:
        return self.binding, self.key


class Made(msgspec.Struct, frozen=True):
    """The last commit that is in a file that was made, and when it was made: 0 where its copy is all that is known."""

    commit: int
    time_ms: int


class Assembly:
    """Puts objects together, all or the one with this key; `spool` is an empty directory for what is fetched."""

    def __init__(
        self,
        series: Series,
        snapshot: Snapshot,
        spool: Path,
        told: Callable[[str], None] = lambda text: None,
        key: bytes | None = None,
    ) -> None:
        self._series = series
        self._snapshot = snapshot
        self._key = key
        self._packs = PackReader(series.target, series.id)
        self._log = ShippedLog(series, snapshot, spool, told, key)

    def objects(self) -> Iterator[Parts]:
        """Every object, in the order of bindings and keys; those that were deleted by then included."""
        catalog = read_catalog(self._series.target, self._series.name(self._snapshot.catalog))
        copies = ((copy.place, copy) for copy in catalog if self._key in (None, copy.key))
        for place, copy, numbers in merged(copies, self._log.runs()):
            yield Parts(*place, copy, numbers or [])

    def write(self, parts: Parts, path: Path, at_ms: int | None = None) -> Made | None:
        """Make the object's file as of a time, or as of the last moment that was shipped.

        None when the object held nothing by then, or nothing is known of it: then there is no file.
        """
        make_private(path.parent)
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as file:
            made = self._fill(parts, file, at_ms)
            file.seek(0)
            born = is_born(file.read(100))
        if not born:
            path.unlink()
            return None
        return made

    def _fill(self, parts: Parts, file: IO[bytes], at_ms: int | None) -> Made:
        records, made = self._log.records(parts.key, parts.numbers, at_ms), Made(0, 0)
        if parts.copy is not None:
            for piece in self._packs.read(parts.copy):
                file.write(piece)
            file.flush()
            if parts.copy.frozen is not None:
                records, made = following(records, parts.copy.frozen), Made(parts.copy.frozen, 0)
        for record in records:
            apply(record, file.fileno())
            made = Made(record.commit, record.time_ms)
        return made

    def close(self) -> None:
        self._log.close()


def following(records: Iterator[Record], last: int) -> Iterator[Record]:
    """The records that fit onto a state whose last commit this is, see (2); 0 where that is not known."""
    fits = False
    for record in records:
        if not fits and record.commit > last:
            fits = (last > 0 and record.previous == last) or _is_whole(record)
        if fits:
            yield record


def _is_whole(record: Record) -> bool:
    return sum(page <= record.size_pages for page in record.images) == record.size_pages


def assemble(series: Series, snapshot: Snapshot, spool: Path, key: bytes, path: Path) -> Made | None:
    """Make the file of one object as of the last moment that was shipped; None when nothing is known of it."""
    with contextlib.closing(Assembly(series, snapshot, spool, key=key)) as assembly:
        parts = next(assembly.objects(), None)
        return None if parts is None else assembly.write(parts, path)
