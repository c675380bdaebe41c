"""The turn of one object's storage, as users' statements see it; keys and values stand in test_object_storage.py."""

from __future__ import annotations

import apsw
import pytest

from roost.errors import SQLError, StorageError, StorageFullError, TurnRolledBackError
from roost.ids import ObjectId
from roost.storage.database import Database
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore


class Rows:
    """Stands in for a cursor."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def end(self, why: str) -> None:
        self.ended.append(why)


@pytest.fixture
def storage(store: HostStore, room: ObjectId) -> ObjectStorage:
    return store.open(room)


def failure_of(storage: ObjectStorage) -> StorageError | None:
    return storage.failure


def ignore(error: StorageError | None) -> None:
    assert error is None


@pytest.mark.parametrize("end", ["commit", "rollback", "close", "delete_all"])
def test_every_end_of_a_turn_ends_its_cursors(storage: ObjectStorage, end: str) -> None:
    storage.put("a", b"1")
    rows = Rows()
    storage.cursors.add(rows)
    {
        "commit": lambda: storage.commit(ignore),
        "rollback": storage.rollback,
        "close": storage.close,
        "delete_all": storage.delete_all,
    }[end]()
    assert len(rows.ended) == 1


def test_whoever_wants_to_know_is_told_that_the_file_is_open_before_a_transaction(storage: ObjectStorage) -> None:
    seen: list[bool] = []
    storage.on_open = lambda database: seen.append(database.connection.in_transaction)
    storage.put("a", b"1")
    assert seen == [False]


def test_the_database_is_there_for_statements_also_when_nothing_was_written(storage: ObjectStorage) -> None:
    database: Database = storage.database()
    assert database.connection.get_autocommit()
    assert storage.database_to_write() is database
    assert database.connection.in_transaction
    assert storage.database_to_write() is database
    assert storage.dirty


def test_a_refusal_is_the_callers_while_the_turn_is_there(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    refusal = SQLError("no")
    assert storage.refused(apsw.ConstraintError("no"), refusal) is refusal
    assert failure_of(storage) is None
    storage.database().connection.execute("ROLLBACK")
    lost = storage.refused(apsw.ConstraintError("no"), refusal)
    assert isinstance(lost, TurnRolledBackError)
    assert failure_of(storage) is lost


def test_a_database_that_failed_is_critical(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    assert isinstance(storage.refused(apsw.FullError("full"), SQLError("full")), StorageFullError)
    with pytest.raises(StorageFullError):
        storage.get("a")
