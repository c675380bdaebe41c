"""Pruning: what is kept is whole, and nothing else stays."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.backup.hosts import MakeHost, back_up

from roost.backup import snapshot as snapshots
from roost.backup.pruning import prune
from roost.backup.restoring import restore
from roost.backup.series import Series, series_of
from roost.backup.target import DirectoryTarget, write_bytes
from roost.errors import InvalidArgumentError


def test_what_only_old_snapshots_needed_goes_and_the_kept_ones_are_whole(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_RECENT_NS", 0)
    monkeypatch.setattr(snapshots, "PACK_BYTES", 5000)
    host = make_host()
    series = Series(target, series_of(data))
    for turn in range(8):
        for number in range(6):
            if turn == 0 or number % 3 == turn % 3:
                host.put(f"room {number}", random.randbytes(4000))
        for _ in range(5):
            host.put("filler", random.randbytes(10_000))
        host.store.checkpoint()
        back_up(data, target)
        prune(series, 2)
        kept = series.snapshots()
        assert len(kept) == min(turn + 1, 2)
        assert set(series.packs()) == {pack for one in kept for pack in one.packs}
        for one in kept:
            into = tmp_path / f"restored {turn} {one.id}"
            restore(target, into, at_ms=one.ended_ms)
    assert len(series.shipments()) < 12
    assert len(list(target.names(series.name("catalogs/")))) == 2


def test_other_series_are_left_alone(data: Path, target: DirectoryTarget, make_host: MakeHost) -> None:
    make_host().put("a", b"1")
    write_bytes(target, "20200101T000000Z-00000000/packs/x/0.pack", b"")
    back_up(data, target)
    prune(Series(target, series_of(data)), 1)
    assert list(target.names("20200101T000000Z-00000000/")) == ["20200101T000000Z-00000000/packs/x/0.pack"]


def test_at_least_one_stays(data: Path, target: DirectoryTarget) -> None:
    series = Series(target, series_of(data))
    with pytest.raises(InvalidArgumentError, match="at least one snapshot is kept, got 0"):
        prune(series, 0)
    assert prune(series, 1).snapshots == 0
