"""Objects that are put together from copies and commits."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backup.hosts import MakeHost, back_up, file_of, room

from roost.backup.assembly import assemble, following
from roost.backup.series import Series, series_of
from roost.backup.target import DirectoryTarget
from roost.storage.journal.record import PAGE_BYTES, Record


def record(commit: int, previous: int = 0, *, pages: tuple[int, ...] = (1,), size: int = 3) -> Record:
    return Record(
        key=bytes(32), binding="ROOM", commit=commit, previous=previous, epoch=1, time_ms=0, size_pages=size,
        images={page: bytes(PAGE_BYTES) for page in pages},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("last", "records", "fit"),
    [
        (5, [record(6), record(7, 6)], []),
        (5, [record(6, 5), record(7, 6), record(8)], [6, 7, 8]),
        (5, [record(7, 6), record(8, pages=(1, 2, 3)), record(9)], [8, 9]),
        (5, [record(4, pages=(1, 2, 3)), record(5, 4), record(7, 6)], []),
        (5, [record(8, pages=(1, 2, 3, 9)), record(9)], [8, 9]),
        (5, [record(8, pages=(1, 2, 9))], []),
        (0, [record(6), record(7, 6)], []),
        (0, [record(1, pages=(1, 2, 3)), record(2, 1)], [1, 2]),
    ],
)
def test_onto_a_state_fits_what_follows_it_or_has_every_page(last: int, records: list[Record], fit: list[int]) -> None:
    assert [one.commit for one in following(iter(records), last)] == fit


def test_one_object_is_put_together_alone(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("a", b"1")
    host.store.checkpoint()
    host.put("a", b"2")
    host.put("b", b"1")
    series = Series(target, series_of(data))
    snapshot = back_up(data, target)
    host.store.checkpoint()
    for name in ("a", "b"):
        spool = tmp_path / name
        spool.mkdir()
        made = assemble(series, snapshot, spool, room(name).key, spool / "object")
        writer = host.store.open_writer(room(name))
        assert made is not None
        assert writer is not None
        assert made.commit == writer.number
        assert (spool / "object").read_bytes() == file_of(data, name).read_bytes()
    (tmp_path / "none").mkdir()
    assert assemble(series, snapshot, tmp_path / "none", room("c").key, tmp_path / "none" / "object") is None
    assert not (tmp_path / "none" / "object").exists()
