"""How an object is named on the command line: `BINDING:name`, or the 64 hexadecimal digits of its id."""

from __future__ import annotations

import os
import re
from pathlib import Path

from roost.errors import InvalidArgumentError
from roost.history.journal_view import live_bindings
from roost.ids import ID_BYTES, IdSpace, ObjectId

_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * ID_BYTES}}}")
_BINDING = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def object_of(text: str, data: Path | str, *, known: bool = True) -> ObjectId:
    """The object that is meant.

    With `known`, its class must have objects in the data directory. Of an id in hexadecimal digits the class is found
    there in any case. Raises InvalidArgumentError when it is not, or the text names no object.
    """
    if _HEX.fullmatch(text):
        return _from_digits(text.lower(), data)
    binding, colon, name = text.partition(":")
    if not colon or not _BINDING.fullmatch(binding):
        raise InvalidArgumentError(
            f"{text[:80]!r} names no object: write BINDING:name, such as ROOM:lobby, or the 64 hex digits of its id"
        )
    if known and binding not in _with_files(data) and binding not in (bindings := bindings_in(data)):
        raise InvalidArgumentError(f"{data} has no objects of {binding}; {_listed(bindings)}")
    return IdSpace(binding, binding).from_name(name)


def bindings_in(data: Path | str) -> list[str]:
    """The classes, by their bindings, that have objects in a data directory, or had some. A new object has no file yet,
    and is in the journal alone."""
    return sorted(_with_files(data) | live_bindings(Path(data)))


def _with_files(data: Path | str) -> set[str]:
    found: set[str] = set()
    for place in (Path(data) / "objects", Path(data) / "history" / "base"):
        if place.is_dir():
            found |= {entry.name for entry in os.scandir(place) if entry.is_dir()}
    return found


def _from_digits(digits: str, data: Path | str) -> ObjectId:
    key, bindings = bytes.fromhex(digits), bindings_in(data)
    for binding in bindings:
        if IdSpace(binding, binding).owns(key):
            return ObjectId(key, binding)
    raise InvalidArgumentError(f"{digits[:12]}… is the id of no class in {data}; {_listed(bindings)}")


def _listed(bindings: list[str]) -> str:
    return f"it has objects of {', '.join(bindings)}" if bindings else "it has no objects at all"
