"""Reads a snapshot whole, with everything that it needs, and compares all checksums."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from roost.backup.catalog import read_catalog
from roost.backup.pack import PackReader
from roost.backup.series import Series, Snapshot
from roost.backup.shipped_log import ShippedLog
from roost.errors import BackupError


class Verified(msgspec.Struct, frozen=True):
    """What was read and found whole."""

    objects: int
    bytes: int
    """Of the files that were copied."""
    shipments: int
    last_ms: int
    """When the last commit that was shipped was made, or the snapshot ended."""


def verify(
    series: Series, snapshot: Snapshot, spool: Path, told: Callable[[str], None] = lambda text: None
) -> Verified:
    """Read it all. Raises BackupError at the first thing that is missing or does not check out."""
    packs = PackReader(series.target, series.id)
    objects = size = 0
    for copy in read_catalog(series.target, series.name(snapshot.catalog)):
        objects += 1
        size += sum(map(len, packs.read(copy)))
        if objects % 1000 == 0:
            told(f"{objects} of {snapshot.objects} objects")
    if objects != snapshot.objects:
        raise BackupError(
            f"the backup {snapshot.id} in {series.target.title} is damaged: it should hold {snapshot.objects} objects,"
            f" its catalog has {objects}"
        )
    with contextlib.closing(ShippedLog(series, snapshot, spool, told)) as log:
        log.verify()
        return Verified(objects, size, len(log.shipments), log.last_ms)
