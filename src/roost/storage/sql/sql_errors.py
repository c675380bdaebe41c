"""What SQLite says of users' statements, in roost's errors."""

from __future__ import annotations

import apsw

from roost.errors import SQLConstraintError, SQLError, SQLForbiddenError, SQLTooLargeError

_CRITICAL = (
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.InternalError,
)
_USERS_DAMAGE = frozenset({apsw.SQLITE_CORRUPT_VTAB, apsw.SQLITE_CORRUPT_SEQUENCE})
"""Damage that a user's own statements can do: to the index of a virtual table, to sqlite_sequence."""


def is_critical(error: apsw.Error) -> bool:
    """Whether the database itself failed, and not the statement."""
    return isinstance(error, _CRITICAL) and _codes(error)[0] not in _USERS_DAMAGE


def code_name(error: apsw.Error) -> str:
    """SQLite's name for the reason, as exact as it is known."""
    extended, plain = _codes(error)
    return str(apsw.mapping_extended_result_codes.get(extended) or apsw.mapping_result_codes.get(plain, ""))


def _codes(error: apsw.Error) -> tuple[int, int]:
    """The extended and the plain code; 0 where apsw itself raised the error."""
    return getattr(error, "extendedresult", 0), getattr(error, "result", 0)


def refusal(error: apsw.Error, reason: str | None) -> SQLError:
    """The error for a statement that SQLite refused; `reason` is why the guard had it refused."""
    name = code_name(error)
    if reason is not None:
        return SQLForbiddenError(f"{reason}: SQLITE_AUTH", "SQLITE_AUTH")
    text = f"{error}: {name}" if name else str(error)
    if isinstance(error, apsw.ConstraintError):
        return SQLConstraintError(text, name)
    if isinstance(error, apsw.TooBigError):
        return SQLTooLargeError(text, name)
    if isinstance(error, apsw.LockedError):
        text = f"{text}; a cursor is still open: read its rows to the end first, with to_array()"
    return SQLError(text, name)
