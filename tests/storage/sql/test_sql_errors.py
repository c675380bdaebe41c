"""SQLite's errors about users' statements."""

from __future__ import annotations

import apsw
import pytest

from roost.errors import SQLConstraintError, SQLError, SQLForbiddenError, SQLTooLargeError
from roost.storage.sql.sql_errors import code_name, is_critical, refusal


def raised(query: str) -> apsw.Error:
    connection = apsw.Connection("")
    connection.execute("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.Error) as caught:
        connection.execute(query).fetchall()
    return caught.value


@pytest.mark.parametrize(
    ("query", "kind", "name"),
    [
        ("INSERT INTO t VALUES (1)", SQLConstraintError, "SQLITE_CONSTRAINT_UNIQUE"),
        ("SELECT zeroblob(2000000000)", SQLTooLargeError, "SQLITE_TOOBIG"),
        ("SELECT", SQLError, "SQLITE_ERROR"),
    ],
)
def test_each_has_its_class_its_text_and_its_name(query: str, kind: type[SQLError], name: str) -> None:
    error = raised(query)
    made = refusal(error, None)
    assert type(made) is kind
    assert str(made) == f"{error}: {name}"
    assert (made.code_name, code_name(error)) == (name, name)
    assert not is_critical(error)


def test_a_reason_of_the_guard_is_what_is_said() -> None:
    made = refusal(raised("SELECT"), "that is not allowed")
    assert type(made) is SQLForbiddenError
    assert (str(made), made.code_name) == ("that is not allowed: SQLITE_AUTH", "SQLITE_AUTH")


def test_a_database_that_fails_is_critical() -> None:
    for kind in (apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.CorruptError, apsw.NotADBError):
        assert is_critical(kind("x"))


def test_damage_that_users_can_do_themselves_is_not() -> None:
    error = apsw.CorruptError("x")
    error.extendedresult = apsw.SQLITE_CORRUPT_VTAB  # type: ignore[attr-defined]
    assert not is_critical(error)


def test_an_error_that_crossed_a_link_has_no_name() -> None:
    assert SQLError("text").code_name == ""
