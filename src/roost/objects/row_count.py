"""What an object's storage counts, told to its meter."""

from __future__ import annotations

from roost.meter import Meter
from roost.storage.object_storage import ObjectStorage


class RowCount:
    """Keeps how much of a storage's counts, which go on for a whole life, the meter has been told."""

    __slots__ = ("_read", "_storage", "_written")

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage = storage
        self._read = self._written = 0

    def settle(self, meter: Meter) -> None:
        """Tell the meter of the rows since the last time, and of the present size."""
        storage = self._storage
        read, written = storage.rows_read, storage.rows_written
        meter.rows_read += read - self._read
        meter.rows_written += written - self._written
        self._read, self._written = read, written
        size = storage.stored_bytes
        if size is not None:
            meter.stored_bytes = size
