"""The shelf: the order of archives, and the locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.history.shelf import Shelf, ShelfState, order_of


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def put(shelf: Shelf, slot: int, sequence: int) -> Path:
    new = shelf.new(slot, sequence)
    new.touch()
    return shelf.place(new, slot, sequence)


def test_archives_stand_in_the_order_in_which_they_came_whatever_their_slots(shelf: Shelf) -> None:
    placed = [put(shelf, 1, 0x100000001), put(shelf, 0, 0x300000001), put(shelf, 1, 0x100000002)]
    assert shelf.archives() == placed
    assert [order_of(path) for path in placed] == [1, 2, 3]


def test_an_archive_that_went_does_not_leave_its_place_to_another(shelf: Shelf) -> None:
    shelf.remove(put(shelf, 0, 1))
    shelf.write_state(ShelfState(order=1))
    assert order_of(put(shelf, 0, 2)) == 2


def test_the_archive_of_a_segment_is_found(shelf: Shelf) -> None:
    path = put(shelf, 0, 0x1F)
    put(shelf, 10, 0x1F)
    assert shelf.find(0, 0x1F) == path
    assert shelf.find(0, 0xF) is None


def test_what_has_no_place_is_not_listed_and_goes_with_the_next_attempt(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "history" / "archives").mkdir(parents=True)
    left = tmp_path / "history" / "archives" / "0-1.77.new"
    left.touch()
    assert shelf.archives() == []
    shelf.new(0, 1)
    assert not left.exists()


def test_the_state_is_remembered(shelf: Shelf) -> None:
    assert shelf.state() == ShelfState()
    with shelf.changing():
        shelf.write_state(ShelfState(order=3, folding="x"))
    assert Shelf(shelf.data).state() == ShelfState(order=3, folding="x")


def test_a_state_that_does_not_check_out_is_refused(shelf: Shelf) -> None:
    with shelf.changing():
        (shelf.path / "state").write_text("{")
    with pytest.raises(StorageCorruptError, match="does not say up to where"):
        shelf.state()


def test_nothing_is_trimmed_while_somebody_reads(shelf: Shelf) -> None:
    with shelf.reading(), shelf.reading(), shelf.trimming() as may:
        assert not may
    with shelf.trimming() as may:
        assert may
        with Shelf(shelf.data).trimming() as twice:
            assert not twice


def test_an_error_inside_the_block_is_passed_on(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="mine"), shelf.trimming():
        raise ValueError("mine")


def test_everything_is_for_nobody_but_the_user(shelf: Shelf) -> None:
    put(shelf, 0, 1)
    with shelf.reading():
        shelf.write_state(ShelfState())
    modes = {path.name: path.stat().st_mode & 0o777 for path in shelf.path.rglob("*")}
    assert modes.pop("archives") == 0o700
    assert {modes["lock"], modes["naming"], modes["state"]} == {0o600}
