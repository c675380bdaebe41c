"""Rows as instances of a class of the caller's."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from roost.errors import SQLRowError, WrongTypeError
from roost.storage.sql.plan import Row
from roost.storage.sql.row_dicts import RowDicts

_KINDS = "a dataclass, a msgspec.Struct, a NamedTuple or a TypedDict"


class Field(msgspec.Struct, frozen=True):
    """One field of a row type, by the name of its column."""

    name: str
    required: bool
    switch: bool
    """Whether it is a bool, which SQLite keeps as 0 or 1."""


def typed_maker(row_type: type, columns: tuple[str, ...]) -> Callable[[Row], Any]:
    """Makes an instance of `row_type` of one row. Raises SQLRowError when the columns do not fit its fields."""
    fields = _fields(row_type)
    _check_columns(row_type, fields, columns)
    switches = [at for at, name in enumerate(columns) if any(f.name == name and f.switch for f in fields)]
    if issubclass(row_type, tuple):
        order = [columns.index(field.name) for field in fields if field.name in columns]
        return _converter(row_type, switches, lambda row: [row[at] for at in order])
    return _converter(row_type, switches, RowDicts(columns).maker())


def _converter(row_type: type, switches: list[int], shape: Callable[[Any], Any]) -> Callable[[Row], Any]:
    def make(row: Row) -> Any:
        values: Sequence[Any] = row
        if switches:
            values = list(row)
            for at in switches:
                values[at] = _as_bool(values[at])
        try:
            return msgspec.convert(shape(values), row_type)
        except msgspec.ValidationError as error:
            raise SQLRowError(f"a row does not fit {row_type.__name__}: {error}") from error
        except (TypeError, NameError) as error:
            raise WrongTypeError(f"row_type {row_type.__name__} cannot be made of a row: {error}") from error

    return make


def _as_bool(value: Any) -> Any:
    return bool(value) if type(value) is int and value in (0, 1) else value


def _check_columns(row_type: type, fields: list[Field], columns: Sequence[str]) -> None:
    named = {field.name for field in fields}
    missing = [field.name for field in fields if field.required and field.name not in columns]
    unknown = [name for name in columns if name not in named]
    twice = sorted({name for name in columns if list(columns).count(name) > 1})
    wrong = [
        *(f"no column {name!r}" for name in missing),
        *(f"no field for column {name!r}" for name in unknown),
        *(f"column {name!r} twice" for name in twice),
    ]
    if isinstance(row_type, type) and issubclass(row_type, tuple) and not wrong:
        given = [field.name in columns for field in fields]
        if given != sorted(given, reverse=True):
            wrong = ["the fields of a NamedTuple that have no column must be its last"]
    if wrong:
        raise SQLRowError(f"the result does not fit {row_type.__name__}: {', '.join(wrong)}")


def _fields(row_type: type) -> list[Field]:
    if not isinstance(row_type, type):
        raise WrongTypeError(f"row_type must be {_KINDS}, got {row_type!r:.80}")
    try:
        hints = typing.get_type_hints(row_type)
    except (NameError, TypeError) as error:
        raise WrongTypeError(f"the annotations of row_type {row_type.__name__} cannot be read: {error}") from error
    names = _names(row_type)
    if names is None:
        raise WrongTypeError(f"row_type must be {_KINDS}, got {row_type.__name__}")
    return [Field(column, required, _is_switch(hints.get(name))) for name, column, required in names]


def _names(row_type: type) -> list[tuple[str, str, bool]] | None:
    """Of each field its name, its column's name, and whether it has no default; None for any other class."""
    if issubclass(row_type, msgspec.Struct):
        return [(field.name, field.encode_name, field.required) for field in msgspec.structs.fields(row_type)]
    if dataclasses.is_dataclass(row_type):
        missing = dataclasses.MISSING
        return [
            (field.name, field.name, field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(row_type)
            if field.init
        ]
    if issubclass(row_type, tuple) and hasattr(row_type, "_fields"):
        defaults = getattr(row_type, "_field_defaults", {})
        return [(name, name, name not in defaults) for name in row_type._fields]
    if typing.is_typeddict(row_type):
        required: frozenset[str] = getattr(row_type, "__required_keys__", frozenset())
        return [(name, name, name in required) for name in typing.get_type_hints(row_type)]
    return None


def _is_switch(hint: Any) -> bool:
    kinds = {hint, *typing.get_args(hint)}
    return bool in kinds and int not in kinds and float not in kinds
