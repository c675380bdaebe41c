"""The handle of one life: turns, nested transactions, failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import InvalidStateError, StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.journal.log import MemoryLog
from roost.storage.kv import KeyRange
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore


@pytest.fixture
def storage(store: HostStore, room: ObjectId) -> ObjectStorage:
    return store.open(room)


def files(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()]


def keys(storage: ObjectStorage) -> list[str]:
    return [key for key, _ in storage.select(KeyRange())]


def is_dirty(storage: ObjectStorage) -> bool:
    return storage.dirty


def is_confirmed(storage: ObjectStorage) -> bool:
    return storage.confirmed


def is_durable(storage: ObjectStorage) -> bool:
    return storage.durable


def has_transaction(storage: ObjectStorage) -> bool:
    return storage.depth > 0


def ignore(error: StorageError | None) -> None:
    assert error is None


def test_an_object_that_never_writes_has_no_file(storage: ObjectStorage, tmp_path: Path) -> None:
    assert storage.get("a") is None
    assert storage.get_many(["a"]) == []
    assert keys(storage) == []
    assert storage.delete("a") is False
    storage.delete_all()
    assert storage.stored_name() is None
    assert storage.database_size == 0
    assert is_durable(storage)
    assert not is_dirty(storage)
    assert files(tmp_path) == []


def test_the_first_write_of_a_turn_makes_it_dirty_once(storage: ObjectStorage) -> None:
    called: list[str] = []
    storage.on_dirty = lambda: called.append("dirty")
    storage.put("a", b"1")
    storage.put("b", b"2")
    assert called == ["dirty"]
    assert is_dirty(storage)
    storage.commit(ignore)
    assert not is_dirty(storage)
    storage.delete("a")
    assert called == ["dirty", "dirty"]


def test_a_turn_is_one_commit_confirmed_when_its_record_is_durable(storage: ObjectStorage, log: MemoryLog) -> None:
    told: list[StorageError | None] = []
    storage.put("a", b"1")
    storage.put("b", b"2")
    number = storage.commit(told.append)
    (append,) = log.pending()
    assert append.record.commit == number
    assert (append.record.key, append.record.binding) == (storage.object_id.key, "ROOM")
    assert told == []
    assert not is_durable(storage)
    append.succeed()
    assert told == [None]
    assert is_durable(storage)


def test_commits_are_numbered_and_chained(storage: ObjectStorage, log: MemoryLog) -> None:
    for value in (b"1", b"2", b"3"):
        storage.put("a", value)
        storage.commit(ignore)
    first, second, third = (append.record for append in log.pending())
    assert (first.previous, second.previous, third.previous) == (0, first.commit, second.commit)
    assert (second.commit, third.commit) == (first.commit + 1, first.commit + 2)


def test_a_turn_is_confirmed_unless_all_of_its_writes_said_otherwise(storage: ObjectStorage) -> None:
    storage.put("a", b"1", confirmed=False)
    assert not is_confirmed(storage)
    storage.put("b", b"1")
    storage.put("c", b"1", confirmed=False)
    assert is_confirmed(storage)
    storage.commit(ignore)
    assert is_confirmed(storage)
    storage.put("a", b"2", confirmed=False)
    storage.commit(ignore)
    assert not is_confirmed(storage)


def test_a_commit_that_changed_nothing_needs_no_record(
    storage: ObjectStorage, store: HostStore, log: MemoryLog
) -> None:
    storage.put("a", b"1")
    number = storage.commit(ignore)
    storage.put("a", b"1")
    told: list[StorageError | None] = []
    assert storage.commit(told.append) == number
    assert len(log.pending()) == 1
    assert told == []
    log.pending()[0].succeed()
    assert told == [None]
    storage.delete("missing")
    assert storage.commit(told.append) == number
    assert told == [None]  # never from within commit
    store.settle()
    assert told == [None, None]


def test_rollback_drops_the_turn(storage: ObjectStorage, log: MemoryLog) -> None:
    storage.put("a", b"1")
    storage.commit(ignore)
    storage.put("a", b"2")
    storage.begin_nested()
    storage.put("b", b"2")
    storage.rollback()
    assert not is_dirty(storage)
    assert not has_transaction(storage)
    assert storage.get("a") == b"1"
    assert keys(storage) == ["a"]
    assert len(log.pending()) == 1


def test_delete_all_is_part_of_its_turn(storage: ObjectStorage) -> None:
    storage.put("a", b"1" * 100_000)
    storage.commit(ignore)
    storage.put("dropped", b"1")
    storage.delete_all()
    assert keys(storage) == []
    storage.put("new", b"1")
    storage.rollback()
    assert keys(storage) == ["a"]
    storage.delete_all()
    storage.put("new", b"1")
    storage.commit(ignore)
    assert keys(storage) == ["new"]
    assert storage.database_size < 50_000
    assert storage.stored_name() == "lobby"


def test_delete_all_is_refused_inside_a_transaction(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    with pytest.raises(InvalidStateError, match="delete_all cannot be called inside a transaction"):
        storage.transaction_sync(storage.delete_all)
    assert keys(storage) == ["a"]


def test_nested_transactions_keep_or_drop_what_is_theirs(storage: ObjectStorage) -> None:
    storage.put("turn", b"1")
    storage.begin_nested()
    storage.put("outer", b"1")
    storage.begin_nested()
    storage.put("inner", b"1")
    storage.rollback_nested()
    assert keys(storage) == ["outer", "turn"]
    assert has_transaction(storage)
    assert not is_dirty(storage)
    assert storage.uncommitted
    storage.commit_nested()
    assert is_dirty(storage)
    storage.begin_nested()
    storage.delete("turn")
    storage.rollback_nested()
    assert keys(storage) == ["outer", "turn"]


def test_a_transaction_that_only_reads_leaves_nothing_to_commit(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    storage.commit(ignore)
    assert storage.transaction_sync(lambda: storage.get("a")) == b"1"
    assert not storage.uncommitted
    storage.put("a", b"2")
    storage.commit(ignore)


def test_a_transaction_that_only_reads_makes_no_file(storage: ObjectStorage, tmp_path: Path) -> None:
    assert storage.transaction_sync(lambda: storage.get("a")) is None
    assert files(tmp_path) == []
    assert not storage.uncommitted


def test_a_first_transaction_that_is_rolled_back_leaves_no_commit_and_no_file(
    storage: ObjectStorage, tmp_path: Path
) -> None:
    storage.begin_nested()
    storage.begin_nested()
    storage.put("a", b"1")
    storage.commit_nested()
    storage.rollback_nested()
    assert (storage.dirty, storage.uncommitted, files(tmp_path)) == (False, False, [])
    assert keys(storage) == []
    storage.put("b", b"1")
    storage.commit(ignore)
    assert keys(storage) == ["b"]


def test_a_first_turn_that_is_dropped_leaves_no_file(storage: ObjectStorage, tmp_path: Path) -> None:
    storage.put("a", b"1")
    storage.rollback()
    assert files(tmp_path) == []


def test_a_transaction_that_is_rolled_back_leaves_the_turn_as_it_was(storage: ObjectStorage, log: MemoryLog) -> None:
    storage.put("a", b"1")
    storage.commit(ignore)
    storage.begin_nested()
    storage.put("a", b"2")
    storage.rollback_nested()
    assert not storage.uncommitted
    storage.put("b", b"1", confirmed=False)
    storage.begin_nested()
    storage.put("a", b"3")
    assert is_confirmed(storage)
    storage.rollback_nested()
    assert (is_dirty(storage), is_confirmed(storage)) == (True, False)
    assert [storage.get(key) for key in ("a", "b")] == [b"1", b"1"]


def test_an_outer_transaction_goes_on_when_the_first_writes_were_those_of_an_inner_one(storage: ObjectStorage) -> None:
    storage.begin_nested()
    storage.begin_nested()
    storage.put("inner", b"1")
    storage.rollback_nested()
    storage.put("outer", b"1")
    storage.commit_nested()
    assert is_dirty(storage)
    storage.commit(ignore)
    assert keys(storage) == ["outer"]


def test_a_transaction_that_outlives_its_object_keeps_nothing(storage: ObjectStorage) -> None:
    storage.begin_nested()
    storage.put("a", b"1")
    storage.close()
    storage.rollback_nested()
    with pytest.raises(InvalidStateError, match="this life of the object has ended"):
        storage.commit_nested()


def test_transaction_sync_rolls_back_and_passes_the_error_on(storage: ObjectStorage) -> None:
    def fails() -> None:
        storage.put("a", b"1")
        raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        storage.transaction_sync(fails)
    assert keys(storage) == []


def test_when_durable_covers_the_open_turn_and_earlier_lives(
    storage: ObjectStorage, store: HostStore, log: MemoryLog, room: ObjectId
) -> None:
    told: list[str] = []
    storage.when_durable(lambda error: told.append("nothing yet"))
    storage.put("a", b"1")
    storage.when_durable(lambda error: told.append("this turn"))
    storage.commit(ignore)
    storage.close()
    next_life = store.open(room)
    next_life.when_durable(lambda error: told.append("former life"))
    assert told == ["nothing yet"]
    log.pending()[0].succeed()
    assert told == ["nothing yet", "this turn", "former life"]


def test_asking_what_is_durable_opens_no_file(make_store: Callable[..., HostStore], room: ObjectId) -> None:
    store = make_store()
    storage = store.open(room)
    storage.put("a", b"1")
    storage.commit(ignore)
    store.close()
    again = make_store()
    told: list[StorageError | None] = []
    again.open(room).when_durable(told.append)
    assert (told, again.open_databases) == ([None], 0)


def test_a_transaction_that_is_dropped_does_not_keep_anyone_waiting(storage: ObjectStorage) -> None:
    told: list[StorageError | None] = []
    storage.begin_nested()
    storage.put("a", b"1")
    storage.when_durable(told.append)
    storage.rollback_nested()
    assert told == [None]


def test_a_dropped_turn_does_not_keep_anyone_waiting(storage: ObjectStorage) -> None:
    told: list[StorageError | None] = []
    storage.put("a", b"1")
    storage.when_durable(told.append)
    storage.rollback()
    assert told == [None]


def test_a_refused_append_means_that_the_commit_never_was(
    storage: ObjectStorage, store: HostStore, log: MemoryLog, room: ObjectId
) -> None:
    storage.put("a", b"1")
    storage.commit(ignore)
    log.pending()[0].succeed()
    log.refuse_with = StorageFullError("no space left")
    failures: list[StorageError] = []
    storage.on_failure = failures.append
    storage.put("a", b"2")
    with pytest.raises(StorageFullError, match="no space left"):
        storage.commit(ignore)
    assert failures == [log.refuse_with]
    operations: list[Callable[[], object]] = [
        lambda: storage.get("a"),
        lambda: storage.put("b", b""),
        storage.begin_nested,
        storage.delete_all,
    ]
    for operation in operations:
        with pytest.raises(StorageFullError, match="no space left"):
            operation()
    storage.close()
    log.refuse_with = None
    next_life = store.open(room)
    assert next_life.get("a") == b"1"
    next_life.put("a", b"3")
    next_life.commit(ignore)
    log.pending()[0].succeed()


def test_commits_that_fail_late_are_undone_for_the_next_life_too(
    storage: ObjectStorage, store: HostStore, log: MemoryLog, room: ObjectId
) -> None:
    told: list[StorageError | None] = []
    storage.put("a", b"1")
    storage.commit(told.append)
    log.pending()[0].succeed()
    for value in (b"2", b"3"):
        storage.put("a", value)
        storage.commit(told.append)
    storage.close()
    next_life = store.open(room)
    failures: list[StorageError] = []
    next_life.on_failure = failures.append
    assert next_life.get("a") == b"3"
    next_life.begin_nested()
    next_life.put("b", b"1")
    error = StorageFullError("no space left")
    log.pending()[0].fail(error)
    assert told == [None, error, error]
    assert failures == [error]
    with pytest.raises(StorageFullError):
        next_life.put("b", b"2")
    next_life.close()
    third = store.open(room)
    assert third.get("a") == b"1"
    assert keys(third) == ["a"]
    third.put("a", b"4")
    number = third.commit(told.append)
    assert number > log.pending()[0].record.previous > 0


def test_a_broken_log_closes_the_object_for_good(
    storage: ObjectStorage, store: HostStore, log: MemoryLog, room: ObjectId
) -> None:
    storage.put("a", b"1")
    storage.commit(lambda error: None)
    log.pending()[0].fail(StorageError("the journal is broken"))
    storage.close()
    with pytest.raises(StorageError, match="the journal is broken"):
        store.open(room).get("a")


def test_the_size_limit_is_a_critical_failure_after_which_deleting_works(
    make_store: Callable[..., HostStore], log: MemoryLog, room: ObjectId
) -> None:
    store = make_store(log=log, limits=Limits(object_bytes_max=200_000))
    storage = store.open(room)
    storage.put("a", b"x" * 100_000)
    storage.commit(ignore)
    storage.put("b", b"1")
    with pytest.raises(StorageFullError, match="it reached 200000 bytes"):
        storage.put("c", b"x" * 150_000)
    with pytest.raises(StorageFullError):
        storage.get("a")
    storage.close()
    storage = store.open(room)
    assert keys(storage) == ["a"]
    assert storage.delete("a")
    storage.commit(ignore)
    storage.put("c", b"x" * 150_000)
    storage.commit(ignore)


def test_a_constraint_that_fails_at_the_commit_rolls_the_turn_back(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    writer = storage._writer
    assert writer is not None
    writer.database.connection.execute("CREATE TABLE p (x PRIMARY KEY)")
    writer.database.connection.execute("CREATE TABLE c (x REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    storage.commit(ignore)
    storage.put("a", b"2")
    writer.database.connection.execute("INSERT INTO c VALUES (1)")
    with pytest.raises(StorageError, match="rolled back to the last good state"):
        storage.commit(ignore)
    with pytest.raises(StorageError, match="rolled back to the last good state"):
        storage.get("a")


def test_rows_are_counted(storage: ObjectStorage) -> None:
    storage.put("a", b"1")
    storage.put("b", b"1")
    storage.get("a")
    storage.select(KeyRange())
    storage.delete("a")
    storage.delete("a")
    assert (storage.rows_written, storage.rows_read) == (3, 3)


def test_the_name_is_known_again_to_whoever_comes_by_the_id(store: HostStore, space: IdSpace, log: MemoryLog) -> None:
    named = store.open(space.from_name("lobby"))
    named.put("a", b"1")
    named.commit(ignore)
    named.close()
    by_id = store.open(space.from_string(str(space.from_name("lobby"))))
    assert by_id.stored_name() == "lobby"
    nameless = store.open(space.unique())
    nameless.put("a", b"1")
    nameless.commit(ignore)
    assert nameless.stored_name() is None


def test_a_closed_life_is_over(storage: ObjectStorage, store: HostStore, room: ObjectId) -> None:
    storage.put("a", b"1")
    storage.close()
    storage.close()
    with pytest.raises(InvalidStateError, match="this life of the object has ended"):
        storage.put("a", b"1")
    with pytest.raises(InvalidStateError, match="this life of the object has ended"):
        storage.get("a")
    assert store.open(room).get("a") is None
