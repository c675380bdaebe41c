"""Without a keeper nothing is kept, and nothing waits."""

from __future__ import annotations

from pathlib import Path

from roost.storage.journal.keeper import Keeper, NothingKept


def test_segments_are_done_with_at_once(tmp_path: Path) -> None:
    keeper: Keeper = NothingKept()
    told: list[bool] = []
    keeper.keep(tmp_path / "journal-000001", told.append)
    assert told == [True]
    keeper.adopt(tmp_path)
    keeper.close()
    assert list(tmp_path.iterdir()) == []
