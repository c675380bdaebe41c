"""Many rows as instances of a class: the same as one by one, at less cost."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest

from roost.errors import SQLRowError
from roost.storage.sql.plan import Row
from roost.storage.sql.sql import SQL
from roost.storage.sql.typed_rows import TypedRows


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Struct(msgspec.Struct):
    id: int
    color: Color
    width: float
    done: bool | None = None
    made: dt.datetime | None = None


class ByKeyword(msgspec.Struct, kw_only=True, frozen=True):
    id: int
    color: Color
    width: float


class HalfByKeyword(ByKeyword, frozen=True, tag="half"):
    done: bool


class Renamed(msgspec.Struct, rename="upper"):
    id: int
    width: Annotated[float, msgspec.Meta(ge=0)]


class Checked(msgspec.Struct):
    id: int

    def __post_init__(self) -> None:
        if self.id == 5:
            raise ValueError("five")


class Meta(type(msgspec.Struct)):  # type: ignore[misc]
    def __call__(cls, *args: Any) -> Any:
        raise AssertionError("an instance is made by converting, which does not call this")


class OfMeta(msgspec.Struct, metaclass=Meta):
    id: int


@dataclasses.dataclass
class Data:
    id: int
    color: Color
    width: float
    done: bool
    twice: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        self.twice = 2 * self.id


class Tuple(NamedTuple):
    width: float
    id: int
    done: bool = False


class Dict(TypedDict):
    id: int
    done: bool
    color: NotRequired[Color]


def rows_of(make: Callable[[int], Row]) -> list[Row]:
    return [make(number) for number in range(20)]


@pytest.mark.parametrize(
    ("row_type", "columns", "rows"),
    [
        (Struct, ("id", "color", "width", "done"), rows_of(lambda n: (n, "red", n / 2, n % 2))),
        (Struct, ("done", "width", "color", "id"), rows_of(lambda n: (None, n, "blue", n))),
        (Struct, ("id", "color", "width", "made"), rows_of(lambda n: (n, "red", 1.0, "2026-11-24T12:00:00Z"))),
        (ByKeyword, ("id", "color", "width"), rows_of(lambda n: (n, "red", n / 2))),
        (HalfByKeyword, ("done", "id", "color", "width"), rows_of(lambda n: (1, n, "red", n / 2))),
        (Renamed, ("WIDTH", "ID"), rows_of(lambda n: (n / 3, n))),
        (Checked, ("id",), [(1,), (2,), (3,)]),
        (OfMeta, ("id",), rows_of(lambda n: (n,))),
        (Data, ("id", "color", "width", "done"), rows_of(lambda n: (n, "red", n, n % 2))),
        (Tuple, ("width", "id"), rows_of(lambda n: (n, n))),
        (Tuple, ("done", "id", "width"), rows_of(lambda n: (n % 2, n, n / 2))),
        (Dict, ("id", "done"), rows_of(lambda n: (n, n % 2))),
        (Dict, ("color", "done", "id"), rows_of(lambda n: ("blue", n % 2, n))),
    ],
)
def test_many_rows_are_made_as_one_is(row_type: type, columns: tuple[str, ...], rows: list[Row]) -> None:
    one_by_one = [TypedRows(row_type, columns).of_row(row) for row in rows]
    typed = TypedRows(row_type, columns)
    for count in (0, 1, 2, 3, len(rows)):
        assert repr(typed.of_rows(rows[:count])) == repr(one_by_one[:count])
        assert typed.of_rows(rows[:count]) == one_by_one[:count]
    assert list(map(typed.maker(), rows)) == one_by_one
    assert type(one_by_one[0]) is (dict if row_type is Dict else row_type)


@pytest.mark.parametrize(
    ("row_type", "columns", "row", "says"),
    [
        (Struct, ("id", "color", "width"), ("7", "red", 1.0), r"Expected `int`, got `str` - at `\$.id`"),
        (Struct, ("id", "color", "width"), (7, "green", 1.0), r"Invalid enum value 'green' - at `\$.color`"),
        (Struct, ("id", "color", "width", "done"), (7, "red", 1.0, 2), r"Expected `bool | null`, got `int`"),
        (Struct, ("id", "color", "width", "done"), (7, "red", 1.0, 1.0), r"Expected `bool | null`, got `float`"),
        (Renamed, ("ID", "WIDTH"), (1, -1.0), r"Expected `float` >= 0.0 - at `\$.WIDTH`"),
        (Checked, ("id",), (5,), "five"),
        (Data, ("id", "color", "width", "done"), (1, "red", 1, 2), r"Expected `bool`, got `int` - at `\$.done`"),
        (Tuple, ("width", "id"), (1, None), r"Expected `int`, got `null` - at `\$\[1\]`"),
        (Dict, ("id", "done"), (1, "x"), r"Expected `bool`, got `str` - at `\$.done`"),
    ],
)
def test_one_that_does_not_fit_among_many_is_told_as_if_it_were_alone(
    row_type: type, columns: tuple[str, ...], row: Row, says: str
) -> None:
    typed = TypedRows(row_type, columns)
    with pytest.raises(SQLRowError, match=f"a row does not fit {row_type.__name__}: {says}") as alone:
        typed.of_row(row)
    with pytest.raises(SQLRowError) as among:
        typed.of_rows([row] * 10)
    assert str(among.value) == str(alone.value)


def test_a_float_that_is_kept_as_an_integer_is_a_float(sql: SQL) -> None:
    values = [
        stroke.width
        for stroke in sql.exec(
            "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n LIMIT 9)"
            " SELECT id, 'red' AS color, id AS width FROM n",
            row_type=Struct,
        ).to_array()
    ]
    assert [(type(value), value) for value in values] == [(float, float(n)) for n in range(1, 10)]


def test_the_same_statement_gives_rows_of_several_classes(sql: SQL) -> None:
    query = "SELECT 1 AS id, 0 AS done"
    assert sql.exec(query, row_type=Dict).one() == {"id": 1, "done": False}
    assert sql.exec(query).one() == {"id": 1, "done": 0}
    assert sql.exec("SELECT 1 AS id", row_type=Checked).one() == Checked(1)
    assert sql.exec("SELECT 1 AS id", row_type=OfMeta).one().id == 1
