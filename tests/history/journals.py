"""Segments as a host leaves them, made by hand for the tests of the history."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from roost.storage.files import Files, write_all
from roost.storage.journal.batch import Batch
from roost.storage.journal.contents import Content, TableMaker
from roost.storage.journal.record import Record
from roost.storage.journal.segment import Segment, position

SIZE = 4 * 1024 * 1024


def write_segment(
    data: Path, sequence: int, records: Iterable[Record], *, slot: int = 0, number: int = 1, settled: bool = True
) -> Path:
    """A segment with these records, two to an entry."""
    path = data / "hosts" / str(slot) / f"journal-{number:06d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, SIZE)
    with contextlib.closing(Segment(path, fd, SIZE)) as segment:
        segment.start(Files(), sequence, 1)
        waiting, maker = list(records), TableMaker()
        while waiting:
            some, waiting = waiting[:2], waiting[2:]
            _write(segment, some, maker)
        if settled:
            segment.settle(Files())
    return path


def _write(segment: Segment, records: list[Record], maker: TableMaker) -> None:
    batch = Batch()
    for record in records:
        batch.add(record)
    tables = maker.tables([Content(one.key, one.binding, one.commit, one.alarm) for one in records])
    entry, chain = segment.pack(batch.packed(), position(segment.sequence, segment.end), tables)
    write_all(Files(), segment.fd, entry, segment.end)
    maker.wrote(segment.sequence, segment.end, len(entry), tables)
    segment.end, segment.chain = segment.end + len(entry), chain
