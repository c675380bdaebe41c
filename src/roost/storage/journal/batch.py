"""Some records packed together, as an entry of the journal carries them.

Compressed as one: neighbouring records are much alike, and the journal's thread lets go of the interpreter once for all
of them rather than once for each, which on a busy loop is what its time goes into. Batches that were written before
Zstandard was chosen are zlib's, and told by their first bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import zstandard

from roost.errors import StorageCorruptError
from roost.storage.journal.record import Record, decode_record, encode_record

_LENGTH = struct.Struct("<Q")
_LEVEL = 1  # level 3 takes half as long again, and saves next to nothing
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_JOIN_MAX = 16 * 1024 * 1024


def new_compressor() -> zstandard.ZstdCompressor:
    """What packs batches. Making one takes as long as packing a small batch, so who packs many keeps it."""
    return zstandard.ZstdCompressor(level=_LEVEL)


class Batch:
    """Records on their way into one entry."""

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self.size = 0
        """Bytes before compression."""
        self.commits: list[tuple[bytes, int]] = []
        """The object and number of each commit in it."""

    def add(self, record: Record) -> None:
        pieces = encode_record(record)
        length = sum(map(len, pieces))
        self._pieces.append(_LENGTH.pack(length))
        self._pieces += pieces
        self.size += length
        self.commits.append((record.key, record.commit))

    def packed(self, compressor: zstandard.ZstdCompressor | None = None) -> bytes:
        """The bytes of the batch; `compressor` is one of `new_compressor` that only the calling thread uses."""
        compressor = compressor or new_compressor()
        if self.size <= _JOIN_MAX:
            return compressor.compress(b"".join(self._pieces))
        # Piece by piece, so that a huge commit is not held twice.
        stream = compressor.compressobj(size=sum(map(len, self._pieces)))
        return b"".join([*map(stream.compress, self._pieces), stream.flush()])


def unpack(raw: bytes) -> Iterator[Record]:
    """The records of a batch. Raises StorageCorruptError when it is none."""
    view = memoryview(_decompressed(raw))
    at = 0
    while at < len(view):
        if len(view) - at < _LENGTH.size:
            raise StorageCorruptError("a batch ends in the middle of a record")
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        yield decode_record(view[at : at + length])
        at += length


def _decompressed(raw: bytes) -> bytes:
    try:
        if raw[:4] == _ZSTD_MAGIC:
            return zstandard.ZstdDecompressor().decompress(raw, allow_extra_data=False)
        return zlib.decompress(raw)
    except (zstandard.ZstdError, zlib.error) as error:
        raise StorageCorruptError(f"a batch of {len(raw)} bytes cannot be unpacked: {error}") from error
