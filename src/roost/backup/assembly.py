"""Objects' files, put together from a snapshot's copies and from what was committed after them."""

from __future__ import annotations

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


class Assembly:
    """Puts objects together; `spool` is an empty directory for what has to be fetched meanwhile."""

    def __init__(
        self, series: Series, snapshot: Snapshot, spool: Path, told: Callable[[str], None] = lambda text: None
    ) -> None:
        self._series = series
        self._snapshot = snapshot
        self._packs = PackReader(series.target, series.id)
        self._log = ShippedLog(series, snapshot, spool, told)

    def objects(self) -> Iterator[Parts]:
        """Every object, in the order of bindings and keys; those that were deleted by then included."""
        catalog = read_catalog(self._series.target, self._series.name(self._snapshot.catalog))
        for place, copy, numbers in merged(((copy.place, copy) for copy in catalog), self._log.runs()):
            yield Parts(*place, copy, numbers or [])

    def write(self, parts: Parts, path: Path, at_ms: int | None = None) -> int | None:
        """Make the object's file as of a time, or as of the last moment that was shipped.

        When the last commit in it was made, 0 where its copy is the last that is known; None when the object held
        nothing by then: then there is no file.
        """
        make_private(path.parent)
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as file:
            last_ms = self._fill(parts, file, at_ms)
            file.seek(0)
            born = is_born(file.read(100))
        if not born:
            path.unlink()
            return None
        return last_ms

    def _fill(self, parts: Parts, file: IO[bytes], at_ms: int | None) -> int:
        if parts.copy is not None:
            for piece in self._packs.read(parts.copy):
                file.write(piece)
            file.flush()
        last_ms = 0
        for record in self._log.records(parts.key, parts.numbers, at_ms):
            apply(record, file.fileno())
            last_ms = record.time_ms
        return last_ms

    def close(self) -> None:
        self._log.close()
