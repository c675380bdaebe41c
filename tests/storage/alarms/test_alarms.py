"""Alarms in the hidden tables: the statements."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from roost.storage.alarms import alarms
from roost.storage.alarms.alarms import FAILED_KEPT, UNNAMED, Alarm, FailedAlarm


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    yield connection
    connection.close()


def there(connection: apsw.Connection, name: str = UNNAMED) -> Alarm:
    alarm = alarms.get(connection, name)
    assert alarm is not None
    return alarm


def names(connection: apsw.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_schema")}


def test_an_object_without_alarms_has_no_tables_for_them(connection: apsw.Connection) -> None:
    assert alarms.earliest(connection) is None
    assert alarms.get(connection, UNNAMED) is None
    assert alarms.next_due(connection, 10**15) is None
    assert alarms.named(connection) == []
    assert alarms.failed(connection) == []
    assert alarms.count(connection) == 0
    assert not alarms.delete(connection, UNNAMED)
    assert names(connection) == set()


def test_a_single_alarm_needs_no_index_and_the_first_named_one_makes_it(connection: apsw.Connection) -> None:
    alarms.put(connection, UNNAMED, 5)
    assert names(connection) == {"_roost_alarms"}
    alarms.put(connection, "x", 7)
    assert names(connection) == {"_roost_alarms", "_roost_alarms_due"}


def test_setting_replaces_the_alarm_of_that_name_alone_and_its_retries(connection: apsw.Connection) -> None:
    alarms.put(connection, UNNAMED, 5)
    alarms.put(connection, "x", 7)
    assert alarms.retry(connection, there(connection), 9)
    assert (there(connection).due, there(connection).scheduled, there(connection).retries) == (9, 5, 1)
    alarms.put(connection, UNNAMED, 11)
    assert (there(connection).due, there(connection).scheduled, there(connection).retries) == (11, 11, 0)
    assert there(connection, "x").due == 7
    assert alarms.count(connection) == 2


def test_the_earliest_is_that_of_all(connection: apsw.Connection) -> None:
    for due, name in enumerate(["c", "b", "a"], 5):
        alarms.put(connection, name, due)
    assert alarms.earliest(connection) == 5
    assert alarms.delete(connection, "c")
    assert not alarms.delete(connection, "c")
    assert alarms.earliest(connection) == 6
    assert alarms.delete(connection, "b")
    assert alarms.delete(connection, "a")
    assert alarms.earliest(connection) is None


def test_what_is_due_first_rings_first_and_nothing_rings_early(connection: apsw.Connection) -> None:
    alarms.put(connection, "late", 20)
    alarms.put(connection, "b", 10)
    alarms.put(connection, "a", 10)
    assert alarms.next_due(connection, 9) is None
    for name in ("a", "b"):
        due = alarms.next_due(connection, 10)
        assert due is not None
        assert due.name == name
        assert alarms.end(connection, due)
    assert alarms.next_due(connection, 19) is None


def test_named_ones_are_listed_by_time_without_the_unnamed(connection: apsw.Connection) -> None:
    for name, due in ((UNNAMED, 1), ("b", 3), ("a", 3), ("z", 2)):
        alarms.put(connection, name, due)
    assert alarms.named(connection) == [("z", 2), ("a", 3), ("b", 3)]


@pytest.mark.parametrize("deleted", [False, True])
def test_the_end_of_a_run_does_not_touch_what_was_set_anew_even_to_the_same_time(
    connection: apsw.Connection, deleted: bool
) -> None:
    alarms.put(connection, UNNAMED, 5)
    running = there(connection)
    if deleted:
        alarms.delete(connection, UNNAMED)
    alarms.put(connection, UNNAMED, 5)
    assert not alarms.end(connection, running)
    assert not alarms.retry(connection, running, 9)
    assert there(connection).due == 5


def test_nothing_comes_of_a_run_whose_alarm_was_deleted(connection: apsw.Connection) -> None:
    alarms.put(connection, UNNAMED, 5)
    running = there(connection)
    alarms.delete(connection, UNNAMED)
    assert not alarms.retry(connection, running, 9)
    assert not alarms.end(connection, running)
    assert alarms.earliest(connection) is None


def test_of_those_that_failed_the_last_ten_are_kept(connection: apsw.Connection) -> None:
    failed = [FailedAlarm("x", number, number + 1, f"error {number}") for number in range(FAILED_KEPT + 3)]
    for one in failed:
        alarms.add_failed(connection, one)
    assert alarms.failed(connection) == failed[-FAILED_KEPT:]


def test_other_errors_than_a_missing_table_are_told(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE _roost_alarms (other)")
    with pytest.raises(apsw.SQLError, match="due"):
        alarms.earliest(connection)
