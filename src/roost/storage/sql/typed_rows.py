# Rows as instances of a class of the caller's.
#
#  (1) What a value may be, and what becomes of it, is what `msgspec.convert` says of the field's type, for one row as
#      for many: many are converted with one call, and when that fails one by one, so that the error is that of the row.
#  (2) A bool is what SQLite keeps as 0 or 1: these two come back as one, and msgspec refuses any other value.
#  (3) A Struct whose fields can be given by position is made, where there are many, of values that were converted: a
#      dict for each would take as long again. That leaves nothing out, since a Struct has no `__init__` but its own.
#  (4) Functions for these columns are written when they are first needed: many statements have few rows, or one run.
"""Rows as instances of a class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from types import GenericAlias
from typing import Any

import msgspec

from roost.errors import SQLRowError, WrongTypeError
from roost.storage.sql.plan import Row
from roost.storage.sql.row_dicts import written
from roost.storage.sql.row_types import check_columns, fields_of, positional_types

_FEW = 2  # rows that are not worth a function for many

Rows = list[Row]


class TypedRows:
    """Makes instances of `row_type` of rows with certain columns.

    Raises SQLRowError when the columns do not fit its fields, or a row does not fit their types, and WrongTypeError
    when it is no class that rows could be instances of.
    """

    def __init__(self, row_type: type, columns: Sequence[str]) -> None:
        fields = fields_of(row_type)
        check_columns(row_type, fields, columns)
        self._row_type = row_type
        self._columns = columns
        self._fields = fields
        self._shape: Callable[[Row], Any] | None = None
        self._make_all: Callable[[Rows], list[Any]] | None = None

    def of_row(self, row: Row) -> Any:
        """The instance of one row."""
        shape = self._shape or self._written_shape()
        try:
            return msgspec.convert(shape(row), self._row_type)
        except msgspec.ValidationError as error:
            raise SQLRowError(f"a row does not fit {self._row_type.__name__}: {error}") from error
        except (TypeError, NameError) as error:
            raise WrongTypeError(f"row_type {self._row_type.__name__} cannot be made of a row: {error}") from error

    def of_rows(self, rows: Rows) -> list[Any]:
        """The instances of some rows."""
        if len(rows) > _FEW:
            make_all = self._make_all or self._written_make_all()
            with contextlib.suppress(msgspec.ValidationError, ValueError, TypeError, NameError):  # raised again below,
                return make_all(rows)  # where it is said of one row
        return [self.of_row(row) for row in rows]

    def maker(self) -> Callable[[Row], Any]:
        """What makes the instance of one row, for many rows."""
        return self.of_row

    # What is written for these columns; see (4).

    def _written_shape(self) -> Callable[[Row], Any]:
        values = self._values([f"row[{at}]" for at in range(len(self._columns))])
        shape = self._by_position(values) if issubclass(self._row_type, tuple) else self._by_name(values)
        self._shape = written(f"lambda row: {shape}")
        return self._shape

    def _written_make_all(self) -> Callable[[Rows], list[Any]]:
        names = [f"value_{at}" for at in range(len(self._columns))]
        values, types = self._values(names), positional_types(self._row_type, self._columns)
        by_position = types is not None or issubclass(self._row_type, tuple)
        shape = self._by_position(values) if by_position else self._by_name(values)
        shape_all = written(f"lambda rows: [{shape} for {', '.join(names)}, in rows]")
        if by_position and shape == self._by_position(names) == f"({', '.join(names)},)":
            shape_all = None  # they have it
        if types is None:
            self._make_all = partial(_converted, shape_all, GenericAlias(list, (self._row_type,)))
        else:
            row = GenericAlias(tuple, types)
            self._make_all = partial(_made, self._row_type, shape_all, GenericAlias(list, (row,)))
        return self._make_all

    def _by_name(self, values: list[str]) -> str:
        return f"{{{', '.join(f'{column!r}: {value}' for column, value in zip(self._columns, values, strict=True))}}}"

    def _by_position(self, values: list[str]) -> str:
        given = [values[self._columns.index(field.name)] for field in self._fields if field.name in self._columns]
        return f"({', '.join(given)},)"

    def _values(self, names: list[str]) -> list[str]:
        switches = {field.name for field in self._fields if field.switch}
        as_bool = "({0} == 1 if type({0}) is int and ({0} == 0 or {0} == 1) else {0})"
        pairs = zip(self._columns, names, strict=True)
        return [as_bool.format(name) if column in switches else name for column, name in pairs]


def _converted(shape: Callable[[Rows], Any] | None, kind: Any, rows: Rows) -> list[Any]:
    converted: list[Any] = msgspec.convert(rows if shape is None else shape(rows), kind)
    return converted


def _made(row_type: type, shape: Callable[[Rows], Any] | None, kind: Any, rows: Rows) -> list[Any]:
    return [row_type(*values) for values in _converted(shape, kind, rows)]
