"""Series: what lies where, and which shipments lead on from where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.backup.series import (
    WHOLE,
    PackUse,
    Series,
    Shipment,
    Snapshot,
    all_series,
    begin_series,
    chain,
    marks,
    positions,
    series_of,
    spool_of,
    taking_snapshots,
)
from roost.backup.target import DirectoryTarget, write_bytes
from roost.errors import BackupError
from roost.storage.journal.segment import position


def snapshot(name: str = "000001-20260101T000000Z") -> Snapshot:
    return Snapshot(
        id=name,
        began_ms=1,
        ended_ms=2,
        since=marks({0: position(7, 0)}),
        until=marks({0: position(1 << 40, WHOLE), 11: 0}),
        objects=1,
        copied=1,
        copied_bytes=10,
        packs={"packs/x/0.pack": PackUse(10, 5)},
    )


def test_a_snapshot_is_read_as_it_was_written(target: DirectoryTarget) -> None:
    series = Series(target, "20260101T000000Z-00000000")
    assert series.last_snapshot() is None
    series.write_snapshot(snapshot())
    series.write_snapshot(snapshot("000002-20250101T000000Z"))
    assert series.snapshot_ids() == ["000001-20260101T000000Z", "000002-20250101T000000Z"]
    assert series.snapshots()[0] == snapshot()
    assert positions(snapshot().until) == {0: position(1 << 40, WHOLE), 11: 0}
    assert series.last_snapshot() == snapshot("000002-20250101T000000Z")
    assert [one.id for one in all_series(target)] == [series.id]


def test_a_shipments_name_says_where_it_belongs(target: DirectoryTarget) -> None:
    series = Series(target, "20260101T000000Z-00000000")
    given = [
        Shipment(0, 0, position(1 << 32, 5000)),
        Shipment(0, position(1 << 32, 5000), position(1 << 32, WHOLE)),
        Shipment(0, position(1 << 32, WHOLE), position((1 << 32) + 1, 4096)),
        Shipment(200, position(1 << 63, 1), position(1 << 63, 2)),
    ]
    for one in given[::-1]:
        write_bytes(target, series.name(one.name), b"")
    write_bytes(target, series.name("log/000/stranger"), b"")
    assert series.shipments() == given
    assert sorted(one.name for one in given) == [one.name for one in given], "names sort in the order of the journal"


def test_a_chain_ends_at_a_gap() -> None:
    given = [Shipment(0, 0, 10), Shipment(0, 10, 20), Shipment(0, 15, 18), Shipment(0, 15, 30), Shipment(0, 31, 40)]
    assert [one.until for one in chain(given, 0)] == [10, 20, 30]
    assert [one.until for one in chain(given, 12)] == [20, 30]
    assert [one.until for one in chain(given, 30)] == []
    assert [one.until for one in chain(given, 35)] == [40]


def test_a_data_directory_keeps_its_series(tmp_path: Path) -> None:
    first = series_of(tmp_path)
    assert series_of(tmp_path) == first
    assert begin_series(tmp_path) != first
    assert series_of(tmp_path) != first
    (tmp_path / "backup" / "series").write_text("garbage")
    with pytest.raises(BackupError, match="remove it to begin one"):
        series_of(tmp_path)


def test_one_backup_at_a_time(tmp_path: Path) -> None:
    with taking_snapshots(tmp_path), pytest.raises(BackupError, match="is being made now"), taking_snapshots(tmp_path):
        pass
    with taking_snapshots(tmp_path):
        pass


def test_what_a_killed_process_left_in_the_spool_goes(tmp_path: Path) -> None:
    with spool_of(tmp_path) as mine:
        (mine / "x").write_text("")
        for left in ("4194305-abc", "garbage"):
            (tmp_path / "backup" / "spool" / left).mkdir()
        with spool_of(tmp_path) as other:
            assert other != mine
            assert (mine / "x").exists(), "of a process that lives"
        assert [path.name.partition("-")[0] for path in (tmp_path / "backup" / "spool").iterdir()] == [str(os.getpid())]
    assert list((tmp_path / "backup" / "spool").iterdir()) == []
