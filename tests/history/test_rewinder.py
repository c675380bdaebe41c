"""What a host is told of its objects' past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.history.conftest import page
from tests.history.journals import write_segment

from roost.errors import HistoryError
from roost.history.folding import fold
from roost.history.rewinder import HistoryRewinder
from roost.history.shelf import Shelf
from roost.history.trimming import Retention, make_room, trim
from roost.ids import IdSpace
from roost.storage.journal.record import Record

MakeRecord = Callable[..., Record]
LOBBY = IdSpace("ROOM", "ROOM").from_name("lobby")


@pytest.fixture
def rewinder(tmp_path: Path) -> Iterator[HistoryRewinder]:
    rewinder = HistoryRewinder(tmp_path)
    yield rewinder
    rewinder.close()


def test_a_state_is_put_together_by_a_child(tmp_path: Path, rewinder: HistoryRewinder, make_record: MakeRecord) -> None:
    write_segment(tmp_path, 1, [make_record(LOBBY.key, 3, p1=1, p2=2), make_record(LOBBY.key, 4, p1=4)], settled=False)
    state = rewinder.state_at(LOBBY, 3)
    assert (state.commit, state.size_pages) == (3, 2)
    assert dict(state.images) == {1: page(1), 2: page(2)}
    nothing = rewinder.state_at(LOBBY, 2)
    assert (nothing.commit, nothing.size_pages, dict(nothing.images)) == (0, 0, {})


def test_a_commit_is_found_by_its_time(tmp_path: Path, rewinder: HistoryRewinder, make_record: MakeRecord) -> None:
    write_segment(tmp_path, 1, [make_record(LOBBY.key, 3, time_ms=70, p1=1)], settled=False)
    assert [rewinder.commit_at(LOBBY, time) for time in (69, 70)] == [0, 3]


def test_what_is_too_old_is_refused_with_the_earliest_that_is_known(
    tmp_path: Path, rewinder: HistoryRewinder, make_record: MakeRecord
) -> None:
    fold(tmp_path, write_segment(tmp_path, 1, [make_record(LOBBY.key, 3, time_ms=70, p1=1)]))
    make_room(Shelf(tmp_path))
    for ask in (rewinder.check, rewinder.state_at):
        with pytest.raises(HistoryError) as caught:
            ask(LOBBY, 2)
        assert caught.value.earliest_ms == 70
    with pytest.raises(HistoryError):
        rewinder.commit_at(LOBBY, 69)
    rewinder.check(LOBBY, 3)


def test_a_database_from_elsewhere_is_taken_for_the_state_that_it_is_to_be(
    tmp_path: Path, rewinder: HistoryRewinder
) -> None:
    Shelf(tmp_path).imported(LOBBY.key, 77).write_bytes(page(7) + page(8))
    state = rewinder.state_at(LOBBY, 77)
    assert (state.commit, state.size_pages) == (77, 2)
    assert dict(state.images) == {1: page(7), 2: page(8)}


def test_a_database_from_elsewhere_goes_once_no_restore_waits_for_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    path = shelf.imported(LOBBY.key, 77)
    path.touch()
    waits = tmp_path / "restores" / LOBBY.key.hex()
    waits.parent.mkdir()
    waits.touch()
    made = path.stat().st_mtime_ns // 10**6
    trim(shelf, Retention(1e9, 1 << 60), made + 700_000)
    assert path.exists(), "it is still waited for"
    waits.unlink()
    trim(shelf, Retention(1e9, 1 << 60), made + 500_000)
    assert path.exists(), "the restore may be about to be planned"
    trim(shelf, Retention(1e9, 1 << 60), made + 700_000)
    assert not path.exists()
