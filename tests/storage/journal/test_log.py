"""The contract of a log, over every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.errors import StorageError, StorageFullError
from roost.storage.journal.journal import LocalLog
from roost.storage.journal.log import Log, MemoryLog
from roost.storage.journal.record import PAGE_BYTES, Record


def record(commit: int, key: bytes = bytes(32)) -> Record:
    return Record(
        key=key,
        binding="ROOM",
        commit=commit,
        previous=commit - 1,
        epoch=1,
        time_ms=0,
        size_pages=1,
        images={1: bytes(PAGE_BYTES)},
    )


@pytest.fixture(params=["memory", "local"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    if request.param == "memory":
        yield MemoryLog()
    else:
        local = LocalLog(tmp_path, segment_bytes=100_000, post=lambda function: None)
        yield local
        local.close()


def test_callbacks_come_in_the_order_of_the_records(log: Log) -> None:
    told: list[int] = []

    def callback(number: int) -> Callable[[StorageError | None], None]:
        def called(error: StorageError | None) -> None:
            assert error is None
            told.append(number)

        return called

    places = [log.append(record(number), callback(number)) for number in range(1, 50)]
    assert places == sorted(set(places))
    log.flush()
    assert told == list(range(1, 50))


def test_nothing_is_called_back_before_the_owner_asks(log: Log) -> None:
    told: list[StorageError | None] = []
    log.append(record(1), told.append)
    assert told == []
    log.flush()
    assert told == [None]
    log.flush()
    assert told == [None]


def test_closing_finishes_what_was_appended(log: Log) -> None:
    told: list[StorageError | None] = []
    log.append(record(1), told.append)
    log.close()
    assert told == [None]


def test_memory_log_is_finished_by_hand() -> None:
    log, told = MemoryLog(), []
    for number in range(3):
        log.append(record(number), lambda error, number=number: told.append((number, error)))  # type: ignore[misc]
    first, second, third = log.pending()
    assert [append.record.commit for append in log.pending()] == [0, 1, 2]
    second.succeed()
    assert told == [(0, None), (1, None)]
    error = StorageFullError("full")
    third.fail(error)
    assert told[2:] == [(2, error)]
    assert log.pending() == []
    assert first.record.commit == 0


def test_memory_log_refuses_as_told() -> None:
    log = MemoryLog()
    log.refuse_with = StorageFullError("full")
    with pytest.raises(StorageFullError, match="full"):
        log.append(record(1), lambda error: None)
    assert log.pending() == []


def test_memory_log_remembers_what_was_let_go() -> None:
    log = MemoryLog()
    log.let_go(b"k", 4)
    assert log.let_go_of == {b"k": 4}
