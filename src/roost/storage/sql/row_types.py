"""The classes of callers that rows can be instances of: their fields, and whether these fit the columns."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Sequence
from typing import Any

import msgspec

from roost.errors import SQLRowError, WrongTypeError

_KINDS = "a dataclass, a msgspec.Struct, a NamedTuple or a TypedDict"


class Field(msgspec.Struct, frozen=True):
    """One field of a row type, by the name of its column."""

    name: str
    required: bool
    switch: bool
    """Whether it is a bool, which SQLite keeps as 0 or 1."""


def check_columns(row_type: type, fields: list[Field], columns: Sequence[str]) -> None:
    """Raise SQLRowError when the columns do not fit the fields of a class."""
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


def fields_of(row_type: type) -> list[Field]:
    """The fields of a class. Raises WrongTypeError when rows cannot be instances of it."""
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


def positional_types(row_type: type, columns: Sequence[str]) -> tuple[Any, ...] | None:
    """The types of the fields that these columns fill, if `row_type` is a Struct that takes them by position."""
    if type(row_type) is not type(msgspec.Struct):
        return None
    given = [field for field in msgspec.structs.fields(row_type) if field.encode_name in columns]
    parameters = inspect.signature(row_type).parameters.values()
    positional = [one.name for one in parameters if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return tuple(field.type for field in given) if positional[: len(given)] == [field.name for field in given] else None


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
        hints = typing.get_type_hints(row_type, include_extras=True)  # what is quoted is not in __required_keys__
        return [(name, name, _is_required(hint, name in required)) for name, hint in hints.items()]
    return None


def _is_required(hint: Any, unless_it_says: bool) -> bool:
    origin = typing.get_origin(hint)
    return origin is typing.Required or (unless_it_says and origin is not typing.NotRequired)


def _is_switch(hint: Any) -> bool:
    kinds = {hint, *typing.get_args(hint)}
    return bool in kinds and int not in kinds and float not in kinds
