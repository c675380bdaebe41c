"""The values that a statement is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roost.errors import IntegerRangeError, InvalidArgumentError, WrongTypeError
from roost.storage.sql.plan import Plan

PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
"""Types that SQLite takes as they are; what else can be bound is looked at one by one."""

_BINDABLE = (int, float, str, bytes, bytearray, memoryview, type(None))
_HINTS = {
    "datetime": "store its isoformat() or timestamp()",
    "date": "store its isoformat()",
    "timedelta": "store its total_seconds()",
    "dict": "store json.dumps() of it",
    "list": "store json.dumps() of it",
    "tuple": "store json.dumps() of it, or give its items as parameters of their own",
    "Decimal": "store str() of it, or whole units as an int",
    "UUID": "store str() or .bytes of it",
}

Values = Sequence[Any] | Mapping[str, Any]


def checked(plan: Plan, bindings: Sequence[Any]) -> Values:
    """The values for a statement, in the form that apsw takes. Raises a UsageError that says what is wrong."""
    if len(bindings) == 1 and isinstance(bindings[0], Mapping):
        return _named(plan, bindings[0])
    if len(bindings) != plan.count:
        raise InvalidArgumentError(f"the statement has {plan.count} parameters, and {len(bindings)} values were given")
    for number, value in enumerate(bindings, 1):
        _check(value, f"parameter {number}")
    return bindings


def _named(plan: Plan, values: Mapping[str, Any]) -> Mapping[str, Any]:
    nameless = [number for number, name in enumerate(plan.names, 1) if name is None or name.isdigit()]
    if nameless:
        raise InvalidArgumentError(
            f"parameter {nameless[0]} of the statement has no name, and the values were given by name"
        )
    names = [name for name in plan.names if name is not None]
    missing = [name for name in names if name not in values]
    if missing:
        raise InvalidArgumentError(f"no value was given for the parameters {', '.join(map(repr, missing))}")
    for name in names:
        _check(values[name], f"parameter {name!r}")
    return {name: values[name] for name in names}


def _check(value: object, where: str) -> None:
    if not isinstance(value, _BINDABLE):
        kind = type(value).__name__
        hint = f"; {_HINTS[kind]}" if kind in _HINTS else ""
        raise WrongTypeError(f"{where}: a {kind} cannot be bound, only None, bool, int, float, str and bytes{hint}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise IntegerRangeError(f"{where}: {value} does not fit into the 64 bits of SQLite's integers")
    if isinstance(value, str):
        _check_text(value, where)


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{where} has a lone surrogate, which UTF-8 cannot hold: {text!r:.80}") from error
