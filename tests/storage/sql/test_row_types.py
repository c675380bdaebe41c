"""Rows as instances of the caller's classes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest

from roost.errors import SQLRowError, WrongTypeError
from roost.storage.sql.sql import SQL
from roost.storage.sql.typed_rows import TypedRows


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Stroke:
    id: int
    color: str
    done: bool
    width: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    id: int
    color: Color
    made: dt.datetime
    note: str = dataclasses.field(default="none")


class Struct(msgspec.Struct):
    id: int
    color: str
    done: bool | None
    width: float = 1.0


class Renamed(msgspec.Struct, rename="camel", frozen=True):
    stroke_id: int


class Tuple(NamedTuple):
    color: str
    id: int
    done: bool = False


class Dict(TypedDict):
    id: int
    color: NotRequired[str]


class Plain:
    id: int


QUERY = "SELECT 1 AS id, 'red' AS color, 1 AS done"


def test_every_kind_of_class(sql: SQL) -> None:
    assert sql.exec(QUERY, row_type=Stroke).one() == Stroke(1, "red", True)
    assert sql.exec(QUERY, row_type=Struct).to_array() == [Struct(1, "red", True)]
    assert list(sql.exec(QUERY, row_type=Tuple)) == [Tuple("red", 1, True)]
    assert next(sql.exec("SELECT 1 AS id, 'red' AS color", row_type=Dict)) == {"id": 1, "color": "red"}
    assert sql.exec("SELECT 7 AS strokeId", row_type=Renamed).one() == Renamed(7)


def test_types_that_sqlite_has_not_come_from_their_text(sql: SQL) -> None:
    query = "SELECT 1 AS id, 'red' AS color, '2026-11-24T12:00:00Z' AS made"
    made = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
    assert sql.exec(query, row_type=Frozen).one() == Frozen(id=1, color=Color.RED, made=made)


def test_a_bool_is_kept_as_0_or_1_and_comes_back_as_a_bool(sql: SQL) -> None:
    sql.exec("CREATE TABLE stroke (id INTEGER PRIMARY KEY, color, done)")
    sql.exec("INSERT INTO stroke VALUES (1, 'a', ?), (2, 'b', ?)", True, False)
    assert [stroke.done for stroke in sql.exec("SELECT * FROM stroke", row_type=Stroke)] == [True, False]
    sql.exec("UPDATE stroke SET done = 7")
    with pytest.raises(SQLRowError, match=r"a row does not fit Stroke: Expected `bool`, got `int`"):
        sql.exec("SELECT * FROM stroke", row_type=Stroke).to_array()
    sql.exec("UPDATE stroke SET done = NULL")
    assert sql.exec("SELECT * FROM stroke WHERE id = 1", row_type=Struct).one().done is None


@pytest.mark.parametrize(
    ("query", "row_type", "says"),
    [
        ("SELECT 1 AS id", Stroke, "does not fit Stroke: no column 'color', no column 'done'"),
        (f"{QUERY}, 2 AS extra", Stroke, "no field for column 'extra'"),
        (f"{QUERY}, 2 AS extra", Struct, "no field for column 'extra'"),
        (f"{QUERY}, 'x' AS color", Tuple, "column 'color' twice"),
        ("SELECT 'red' AS color", Dict, "no column 'id'"),
        ("SELECT 7 AS stroke_id", Renamed, "no column 'strokeId', no field for column 'stroke_id'"),
        ("SELECT 1 AS id, 2 AS color, 1 AS done", Stroke, "Expected `str`, got `int` - at `$.color`"),
        ("SELECT 'one' AS id, 'red' AS color, 1 AS done", Struct, "Expected `int`, got `str` - at `$.id`"),
        ("SELECT 1 AS id, 'blue' AS color, 'x' AS made", Frozen, "does not fit Frozen"),
    ],
)
def test_columns_and_values_that_do_not_fit_are_named(sql: SQL, query: str, row_type: type, says: str) -> None:
    with pytest.raises(SQLRowError) as caught:
        sql.exec(query, row_type=row_type).to_array()
    assert says in str(caught.value)


@pytest.mark.parametrize("row_type", [dict, tuple, int, Plain, "Stroke", Stroke(1, "a", True)])
def test_any_other_class_is_refused(sql: SQL, row_type: Any) -> None:
    with pytest.raises(
        WrongTypeError, match=r"row_type must be a dataclass, a msgspec.Struct, a NamedTuple or a Typed"
    ):
        sql.exec(QUERY, row_type=row_type)


def test_annotations_that_cannot_be_read_are_an_error_that_says_so(sql: SQL) -> None:
    @dataclasses.dataclass
    class Local:
        id: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(WrongTypeError, match="annotations of row_type Local cannot be read"):
        sql.exec("SELECT 1 AS id", row_type=Local)


def test_a_type_that_no_row_could_give_is_an_error_that_says_so(sql: SQL) -> None:
    @dataclasses.dataclass
    class Odd:
        id: type

    with pytest.raises((WrongTypeError, SQLRowError), match="Odd"):
        TypedRows(Odd, ("id",)).of_row((1,))


def test_raw_rows_are_never_converted(sql: SQL) -> None:
    assert sql.exec(QUERY, row_type=Stroke).raw().to_array() == [(1, "red", 1)]
