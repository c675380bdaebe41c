"""Objects that are not served, because something that they were promised to keep cannot be read.

DIR/quarantine/<64 hex digits>      why, for one object; its file holds what it had before
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.files import sync_directory
from roost.storage.layout import make_durably, write_durably


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one object in quarantine."""

    key: str
    """The id, as 64 hexadecimal digits."""
    binding: str
    reason: str
    lost: list[int] = []
    """The numbers of the commits that cannot be read, where they are known."""

    def error(self) -> StorageCorruptError:
        """What whoever wants to open the object is told."""
        return StorageCorruptError(
            f"object {self.key} is in quarantine: {self.reason}. `roost repair {self.key}` rebuilds what can be read"
        )


class Quarantine:
    """The objects of a data directory that must be repaired before they are served again."""

    def __init__(self, data: Path) -> None:
        self._directory = data / "quarantine"

    def put(self, case: Case) -> None:
        """Keep an object from being opened, durably. Raises OSError."""
        make_durably(self._directory)
        write_durably(self._directory / case.key, msgspec.json.encode(case))

    def case(self, key: bytes) -> Case | None:
        """Why an object is not served; None when it is. Costs next to nothing where nothing is in quarantine."""
        path = self._directory / key.hex()
        if not os.path.exists(path):
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=Case)
        except msgspec.DecodeError as error:
            return Case(key=key.hex(), binding="", reason=f"{path} cannot be read: {error}")

    def cases(self) -> list[Case]:
        """All of them."""
        if not self._directory.is_dir():
            return []
        keys = sorted(entry.name for entry in self._directory.iterdir() if len(entry.name) == 64)
        return [case for key in keys if (case := self.case(bytes.fromhex(key))) is not None]

    def check(self, key: bytes) -> None:
        """Raise StorageCorruptError when the object must not be opened."""
        case = self.case(key)
        if case is not None:
            raise case.error()

    def lift(self, key: bytes) -> None:
        """Serve the object again."""
        (self._directory / key.hex()).unlink(missing_ok=True)
        if self._directory.is_dir():
            sync_directory(self._directory)
