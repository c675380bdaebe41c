"""The thread that writes the agenda's file: what waits, what is durable, what cannot be written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.storage.alarms import agenda_writer
from roost.storage.alarms.agenda_file import AgendaFile
from roost.storage.alarms.agenda_reader import Failed
from roost.storage.alarms.agenda_window import BEGINNING, Entry, Moment
from roost.storage.alarms.agenda_writer import AgendaWriter

from .agenda_parts import HandLoop, RefusingFile, entry

FULL = StorageFullError("no space left")


class Parts:
    """A writer, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = HandLoop()
        self.file = RefusingFile(directory)
        self.loaded: list[tuple[Moment, list[Entry]]] = []
        self.lost = 0
        self.writer = AgendaWriter(
            self.file, post=self.loop.post, loaded=lambda *told: self.loaded.append(told), lost=self._count_lost
        )

    def _count_lost(self) -> None:
        self.lost += 1

    def written(self) -> list[str | None]:
        """What the next process would find."""
        self.writer.close()
        file = AgendaFile(self.directory, complete=True)
        names = [one.name for one in file.next(100)]
        file.close()
        return names


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(agenda_writer, "WRITE_SECONDS", 3600.0)  # nothing is written but what the test asks for
    monkeypatch.setattr(agenda_writer, "RETRY_SECONDS", 3600.0)
    made = Parts(tmp_path)
    yield made
    made.writer.close()


@pytest.fixture
def ids(space: IdSpace) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(5)]


def test_a_flush_makes_durable_what_was_added_before_it(parts: Parts, ids: list[ObjectId]) -> None:
    for one in ids:
        parts.writer.add(entry(one, 5))
    parts.writer.flush()
    assert parts.file.writes == [True]
    assert len(parts.file.next(10)) == 5


def test_a_flush_without_anything_new_costs_nothing(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.flush()
    parts.writer.add(entry(ids[0], 5))
    parts.writer.flush()
    parts.loop.turn()
    parts.writer.flush()
    assert parts.file.writes == [True]


def test_a_flush_syncs_what_was_written_without_a_sync(
    parts: Parts, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_writer, "WRITE_SECONDS", 0.0)
    parts.writer.add(entry(ids[0], 5))
    parts.loop.turn()
    assert parts.file.writes == [False]
    parts.writer.flush()
    assert parts.file.writes == [False, True]


def test_what_is_added_waits_and_is_then_written_together(
    parts: Parts, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda_writer, "BATCH_MAX", len(ids))
    for one in ids:
        assert parts.file.writes == []
        parts.writer.add(entry(one, 5))
    parts.loop.turn()
    assert parts.file.writes == [False]


def test_what_is_written_is_waiting_until_the_loop_has_heard_of_it(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.add(entry(ids[0], 5))
    parts.writer.flush()
    parts.writer.add(entry(ids[0], 6))
    parts.writer.add(entry(ids[1], 7))
    assert {one.due for one in parts.writer.waiting().values()} == {6, 7}
    parts.writer.flush()
    assert {one.due for one in parts.writer.waiting().values()} == {6, 7}
    parts.loop.turn()
    parts.loop.turn()
    assert parts.writer.waiting() == {}


def test_without_room_nothing_is_lost_and_it_is_said_once(
    parts: Parts, ids: list[ObjectId], caplog: pytest.LogCaptureFixture
) -> None:
    parts.file.refuse = FULL
    parts.writer.add(entry(ids[0], 5))
    parts.writer.add(entry(ids[1], 5))
    for _ in range(3):
        with pytest.raises(StorageFullError, match="no space left"):
            parts.writer.flush()
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    parts.writer.add(entry(ids[1], None))
    parts.writer.add(entry(ids[2], 5))
    assert {one.name: one.due for one in parts.writer.waiting().values()} == {"room 0": 5, "room 1": None, "room 2": 5}
    parts.file.refuse = None
    with caplog.at_level(logging.INFO):
        parts.writer.flush()
    assert "can be written again" in caplog.text
    assert parts.written() == sorted(["room 0", "room 2"], key=lambda name: next(i.key for i in ids if i.name == name))


def test_it_is_tried_again_by_itself(parts: Parts, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda_writer, "RETRY_SECONDS", 0.0)
    parts.file.refuse = FULL
    parts.writer.add(entry(ids[0], 5))
    with pytest.raises(StorageFullError):
        parts.writer.flush()
    parts.file.refuse = None
    parts.loop.turn()
    assert parts.writer.waiting() == {}


def sync_failed() -> StorageError:
    error = StorageError("disk I/O error")
    cause = apsw.IOError("disk I/O error")
    setattr(cause, "extendedresult", apsw.SQLITE_IOERR_FSYNC)  # noqa: B010 - as apsw sets it
    error.__cause__ = cause
    return error


def test_after_a_sync_that_failed_no_flush_is_believed(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.add(entry(ids[0], 5))
    parts.file.refuse = sync_failed()
    with pytest.raises(StorageError, match="disk I/O error"):
        parts.writer.flush()
    parts.file.refuse = None
    parts.writer.add(entry(ids[1], 5))
    with pytest.raises(StorageError, match="disk I/O error"):
        parts.writer.flush()


def test_a_damaged_file_is_replaced_and_its_owner_told_before_the_batch_counts_as_written(
    parts: Parts, ids: list[ObjectId]
) -> None:
    parts.writer.add(entry(ids[0], 5))
    parts.writer.flush()
    parts.loop.turn()
    parts.file.connection.execute("DROP TABLE alarms")
    parts.writer.add(entry(ids[1], 6))
    parts.writer.flush()
    assert parts.writer.waiting().keys() == {ids[1].key}
    parts.loop.turn()
    assert parts.lost == 1
    assert parts.writer.waiting().keys() == {ids[1].key}
    assert not parts.file.complete
    assert parts.written() == ["room 1"]


def test_a_file_that_is_found_damaged_when_it_is_read_is_replaced_and_read_again(
    parts: Parts, ids: list[ObjectId]
) -> None:
    parts.file.connection.execute("DROP TABLE alarms")
    parts.writer.load(BEGINNING, ["ROOM"])
    parts.loop.turn_until(lambda: bool(parts.loaded))
    assert (parts.lost, parts.loaded) == (1, [(BEGINNING, [])])


def test_a_file_that_cannot_be_replaced_now_is_replaced_later(
    parts: Parts, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace: Callable[[StorageCorruptError], None] = parts.file.replace

    def no_room(error: StorageCorruptError) -> None:
        raise FULL

    monkeypatch.setattr(parts.file, "replace", no_room)
    parts.file.connection.execute("DROP TABLE alarms")
    parts.writer.add(entry(ids[0], 5))
    with pytest.raises(StorageFullError):
        parts.writer.flush()
    monkeypatch.setattr(parts.file, "replace", replace)
    parts.writer.flush()
    assert parts.written() == ["room 0"]


def test_the_next_entries_are_loaded_after_a_moment(parts: Parts, ids: list[ObjectId]) -> None:
    for due, one in enumerate(ids, 1):
        parts.writer.add(entry(one, due))
    parts.writer.flush()
    parts.writer.load((2, b"\xff" * 33), ["ROOM"])
    parts.loop.turn_until(lambda: bool(parts.loaded))
    assert [one.due for one in parts.loaded[0][1]] == [3, 4, 5]


def test_a_load_that_fails_is_tried_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda_writer, "RETRY_SECONDS", 0.0)
    load, failures = parts.file.load, [StorageError("busy"), StorageError("busy")]

    def fails(*args: Any) -> list[Entry]:
        if failures:
            raise failures.pop()
        return load(*args)

    monkeypatch.setattr(parts.file, "load", fails)
    parts.writer.load(BEGINNING, ["ROOM"])
    parts.loop.turn_until(lambda: bool(parts.loaded))
    assert failures == []


def test_a_question_is_answered_or_reported(
    parts: Parts, ids: list[ObjectId], caplog: pytest.LogCaptureFixture
) -> None:
    parts.writer.add(entry(ids[0], 5))
    parts.writer.flush()
    told: list[Any] = []

    def refuse(_: AgendaFile) -> None:
        raise StorageError("cannot be read")

    parts.writer.ask(refuse, told.append)
    parts.writer.ask(lambda file: file.counts(), told.append)
    parts.loop.turn_until(lambda: bool(told))
    assert told == [{"ROOM": 1}]
    assert "cannot be read" in caplog.text


def test_failed_alarms_and_forgiven_ones_are_written_at_once(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.add_failed(Failed(ids[0].key, "ROOM", None, "a", 1, 2, "no"))
    parts.loop.turn()
    assert [one.alarm for one in parts.file.failed(9)] == ["a"]
    parts.writer.forgive(ids[0].key, "a")
    parts.loop.turn()
    assert parts.file.failed(9) == []


def test_the_end_writes_what_waits(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.add(entry(ids[0], 5))
    assert parts.written() == ["room 0"]
    assert parts.file.writes == [True]


def test_the_end_does_not_wait_for_room(parts: Parts, ids: list[ObjectId]) -> None:
    parts.writer.add(entry(ids[0], 5))
    parts.file.refuse = FULL
    assert parts.written() == []


def test_a_loop_that_is_closed_is_nobodys_trouble(tmp_path: Path, ids: list[ObjectId]) -> None:
    def closed(_: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    writer = AgendaWriter(RefusingFile(tmp_path), post=closed, loaded=lambda *_: None, lost=lambda: None)
    writer.add(entry(ids[0], 5))
    writer.flush()
    writer.close()
