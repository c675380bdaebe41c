# SQLite's functions whose work is the product of what they are given, done in time that is its sum.
#
#  (1) Inside one call of a function SQLite cannot be interrupted. Its own `instr`, `replace`, `trim`, `ltrim` and
#      `rtrim` compare every place with everything: on two texts of megabytes for minutes, and the host stands still.
#  (2) These give the same for all that they are given (sqlite/src/func.c: instrFunc, replaceFunc, trimFunc), so an
#      index on an expression that was made with SQLite's own stays right. What is no text is refused where the result
#      could be none either: nobody could read it. Numbers are left to SQLite, which knows how it writes them.
#  (3) They are installed when a connection is made: later a statement that is under way could be in the way.
"""Functions of SQL that do not hold up the host."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TypeAlias

import apsw

from roost.errors import SQLError, SQLTooLargeError

Value: TypeAlias = "str | bytes | int | float | None"
_FEW = 64  # characters to trim, which are looked for one by one
_WORK_MAX = 100_000_000  # comparisons of bytes: some tens of milliseconds


def install(connection: apsw.Connection) -> None:
    """Let a connection use them in the place of SQLite's own."""

    def replace_within_limit(text: Value, sought: Value, by: Value) -> Value:
        return replace(text, sought, by, lambda: connection.limit(apsw.SQLITE_LIMIT_LENGTH))

    functions: list[tuple[str, Callable[..., Value], int]] = [
        ("instr", instr, 2),
        ("replace", replace_within_limit, 3),
        ("trim", trim, 2),
        ("ltrim", ltrim, 2),
        ("rtrim", rtrim, 2),
    ]
    for name, function, arguments in functions:
        connection.create_scalar_function(name, function, arguments, deterministic=True, flags=apsw.SQLITE_INNOCUOUS)


def instr(within: Value, sought: Value) -> Value:
    """Where `sought` is first, counted from 1; 0 where it is not. In characters; of two blobs in bytes."""
    if isinstance(within, str) and isinstance(sought, str):
        return within.find(sought) + 1
    if within is None or sought is None:
        return None
    if isinstance(within, bytes) and isinstance(sought, bytes):
        return within.find(sought) + 1
    try:
        whole, part = _texts("instr", within, sought)
    except SQLError:  # a blob that is no text, in a text or the other way round: SQLite has an answer
        return _by_sqlite("instr(?, ?)", within, sought)
    return whole.find(part) + 1


def replace(text: Value, sought: Value, by: Value, bytes_max: Callable[[], int] = lambda: 1 << 31) -> Value:
    """The text with `by` wherever `sought` is. Raises SQLTooLargeError where that has more than `bytes_max` bytes."""
    if not (isinstance(text, str) and isinstance(sought, str) and isinstance(by, str)):
        if text is None or sought is None:
            return None
        text, sought = _texts("replace", text, sought)
        if by is None:
            return None if _is_something(sought) else text
        (by,) = _texts("replace", by)
    if not _is_something(sought):
        return text
    if len(by) * 4 > len(sought):  # it may grow
        grown = _bytes(text) + text.count(sought) * (_bytes(by) - _bytes(sought))
        if grown > bytes_max():
            raise SQLTooLargeError("string or blob too big: SQLITE_TOOBIG", "SQLITE_TOOBIG")
    return text.replace(sought, by)


def trim(text: Value, characters: Value) -> Value:
    """The text without these characters at both ends."""
    return rtrim(ltrim(text, characters), characters)


def ltrim(text: Value, characters: Value) -> Value:
    """The text without these characters at its beginning."""
    if text is None or characters is None:
        return None
    whole, unwanted = _texts("ltrim", text, characters)
    some = _characters(unwanted)
    return whole.lstrip("".join(some)) if len(some) <= _FEW else whole[_run(whole, some) :]


def rtrim(text: Value, characters: Value) -> Value:
    """The text without these characters at its end."""
    if text is None or characters is None:
        return None
    whole, unwanted = _texts("rtrim", text, characters)
    some = _characters(unwanted)
    return whole.rstrip("".join(some)) if len(some) <= _FEW else whole[: len(whole) - _run(reversed(whole), some)]


def _characters(text: str) -> set[str]:
    """Those to be trimmed: SQLite takes what is before the first NUL."""
    return set(text.partition("\0")[0])


def _run(characters: Iterable[str], unwanted: set[str]) -> int:
    """How many characters at the beginning are unwanted."""
    return sum(1 for _ in itertools.takewhile(unwanted.__contains__, characters))


def _is_something(sought: str) -> bool:
    """Whether there is anything to look for, as SQLite's `replace` sees it."""
    return sought[:1] not in ("", "\0")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _texts(function: str, *values: str | bytes | float) -> list[str]:
    """The values as SQLite makes texts of them. Raises SQLError for what is none."""
    return [value if isinstance(value, str) else _text(function, value) for value in values]


def _text(function: str, value: bytes | float) -> str:
    if not isinstance(value, bytes):
        return str(_by_sqlite("format('%s', ?)", value))
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise SQLError(
            f"{function} takes texts, and a blob that it was given is none: {error}: SQLITE_MISMATCH", "SQLITE_MISMATCH"
        ) from error


def _by_sqlite(call: str, *values: Value) -> Value:
    """What SQLite's own function makes of values, where that does not take long."""
    sizes = sorted(len(value) for value in values if isinstance(value, str | bytes))
    if len(sizes) > 1 and sizes[-1] * sizes[-2] > _WORK_MAX:
        raise SQLTooLargeError(
            f"{call}: of {sizes[-1]} and {sizes[-2]} bytes, where a blob is no text, it takes too long: SQLITE_TOOBIG",
            "SQLITE_TOOBIG",
        )
    connection = apsw.Connection(":memory:")
    try:
        result: Value = connection.execute(f"SELECT {call}", values).get
        return result
    finally:
        connection.close()
