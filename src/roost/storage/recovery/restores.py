"""Objects that are to go back to an earlier commit when their next life begins.

DIR/restores/<64 hex digits>            to which, and the number of the commit that will do it
DIR/restores/<64 hex digits>.sqlite     the file being built for it; worth nothing without the former
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.ids import ObjectId
from roost.storage.files import sync_directory
from roost.storage.layout import make_durably, write_durably

_AHEAD = 1 << 40
"""How far ahead the number of the restoring commit is. Numbers carry the milliseconds of the clock above 21 bits, so
that is some minutes; in the meantime an object's commits count on from its last one."""
_CLOCK_BITS = 21


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """One object that is to go back."""

    binding: str
    commit: int
    """It is to hold again what it held after this commit."""
    number: int
    """The number of the commit that does it: greater than those of all commits made until then."""


class Restores:
    """The restores of a data directory that are still to be made."""

    def __init__(self, data: Path) -> None:
        self._directory = data / "restores"
        self._plans = f"{self._directory}/"

    def plan(self, object_id: ObjectId, commit: int, *, above: int = 0) -> int:
        """Have the object go back to what it held after `commit`, when it next begins; durable on return.

        The number of the restoring commit: what the object holds until then is found again just below it. `above` is
        the greatest number that the object's commits can have; a later plan takes the place of an earlier one.
        """
        now = time.time_ns() // 1_000_000 << _CLOCK_BITS
        number = max(commit, above, now) + _AHEAD
        make_durably(self._directory)
        plan = Restore(binding=object_id.binding, commit=commit, number=number)
        write_durably(self._directory / object_id.key.hex(), msgspec.json.encode(plan))
        return number

    def pending(self, key: bytes) -> Restore | None:
        """What is planned for an object. Raises StorageCorruptError when that cannot be read."""
        if not os.path.exists(f"{self._plans}{key.hex()}"):  # asked at the beginning of each life: a microsecond
            return None
        path = self._directory / key.hex()
        try:
            return msgspec.json.decode(path.read_bytes(), type=Restore)
        except (OSError, msgspec.DecodeError) as error:
            raise StorageCorruptError(f"the plan of a restore cannot be read, {path}: {error}; remove it") from error

    def all(self) -> list[str]:
        """The ids, in hexadecimal digits, of all objects that are to go back."""
        if not self._directory.is_dir():
            return []
        return sorted(entry.name for entry in self._directory.iterdir() if len(entry.name) == 64)

    def building(self, key: bytes) -> Path:
        """Where the file with the state to go back to is built."""
        return self._directory / f"{key.hex()}.sqlite"

    def done(self, key: bytes) -> None:
        """The restore was made, or is given up."""
        self.building(key).unlink(missing_ok=True)
        (self._directory / key.hex()).unlink(missing_ok=True)
        sync_directory(self._directory)
