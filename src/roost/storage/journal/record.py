# One commit of one object, as it stands in a log: on disk here, on the network in a cluster.
#
#  (1) A record is complete in itself: whose commit, which one, under which epoch, and every page it changed, whole.
#      So replaying records is idempotent, and the last image of a page wins.
#  (2) The checksum covers everything before it. A record is either whole or refused.
#  (3) The format is versioned; a newer one is refused by its number, never guessed at.
#
#  (4) A record is not compressed: what carries it does that, one record or many at a time.
#  (5) Of a commit that made a large database anew, the record says only how many pages there are, all of them: these
#      stand where whoever carries it keeps them, in parts. Whoever reads the record is given them like any others.
#
#     magic version kind flags | key 32 | commit previous epoch time alarm | size pages binding-length |
#     binding | page numbers | page images | crc32             kind 0: here; kind 1: every page, elsewhere
"""The record: what changed in one commit of one object."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

import msgspec

from roost.errors import StorageCorruptError
from roost.storage.journal.parted_images import PAGE_BYTES as PAGE_BYTES
from roost.storage.journal.parted_images import PartedImages

VERSION = 1

_HEAD = struct.Struct("<4sBBH32sQQQqqIIH")
_CRC = struct.Struct("<I")
_MAGIC = b"RREC"
_COMMIT, _COMMIT_ASIDE = 0, 1
_HAS_ALARM = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One commit: the images of the pages it changed, and the size of the database after it."""

    key: bytes
    """The 32 bytes of the object's id."""
    binding: str
    """The namespace of the object."""
    commit: int
    """This commit's number: grows with every commit of the object, for ever."""
    previous: int
    """The number of the commit before it, or 0 for the first; a chain without holes."""
    epoch: int
    """Under which right to run the object it was made; a log refuses older ones than it has seen."""
    time_ms: int
    """When it was made, for people and for going back in time."""
    size_pages: int
    """The size of the database after it."""
    images: Mapping[int, bytes | memoryview]
    """The changed pages by number, the first page being 1."""
    alarm: int | None = None
    """When the object asks to be woken, in milliseconds since the epoch."""
    aside: bool = False
    """Whether its images stand elsewhere, in parts: see (5). Decoded, and not `filled`, it cannot give them.
    """


def encode_record(record: Record) -> list[bytes | memoryview]:
    """The bytes of a record, in pieces: the images are not copied, and those that stand elsewhere are not in them."""
    binding, images = record.binding.encode(), {} if record.aside else record.images
    head = _HEAD.pack(
        _MAGIC,
        VERSION,
        _COMMIT_ASIDE if record.aside else _COMMIT,
        0 if record.alarm is None else _HAS_ALARM,
        record.key,
        record.commit,
        record.previous,
        record.epoch,
        record.time_ms,
        record.alarm or 0,
        record.size_pages,
        len(images),
        len(binding),
    )
    front = head + binding + struct.pack(f"<{len(images)}I", *images)
    crc = zlib.crc32(front)
    for image in images.values():
        crc = zlib.crc32(image, crc)
    return [front, *images.values(), _CRC.pack(crc)]


def filled(record: Record, images: PartedImages) -> Record:
    """A record with its pages, that stand elsewhere."""
    return msgspec.structs.replace(record, images=images)


def decode_record(raw: bytes | memoryview) -> Record:
    """The record whose bytes these are. Raises StorageCorruptError when they are none."""
    view = memoryview(raw)
    if len(view) < _HEAD.size + _CRC.size or bytes(view[:4]) != _MAGIC:
        raise StorageCorruptError(f"these {len(view)} bytes do not begin like a record")
    fields = _HEAD.unpack_from(view)
    _, version, kind, flags, key, commit, previous, epoch, time_ms, alarm, size, pages, name_bytes = fields
    if version != VERSION or kind not in (_COMMIT, _COMMIT_ASIDE):
        raise StorageCorruptError(
            f"a record of version {version}, kind {kind}; this roost reads version {VERSION}, kinds 0 and 1"
        )
    first_page = _HEAD.size + name_bytes + 4 * pages
    end = first_page + pages * PAGE_BYTES
    if len(view) != end + _CRC.size or zlib.crc32(view[:end]) != _CRC.unpack_from(view, end)[0]:
        raise StorageCorruptError(f"the record of commit {commit} of object {key.hex()} does not match its checksum")
    numbers = struct.unpack_from(f"<{pages}I", view, _HEAD.size + name_bytes)
    is_aside = kind == _COMMIT_ASIDE
    return Record(
        key=key,
        binding=bytes(view[_HEAD.size : _HEAD.size + name_bytes]).decode(),
        commit=commit,
        previous=previous,
        epoch=epoch,
        time_ms=time_ms,
        size_pages=size,
        images=_elsewhere(size) if is_aside else dict(zip(numbers, _pages(view[first_page:end]), strict=True)),
        alarm=alarm if flags & _HAS_ALARM else None,
        aside=is_aside,
    )


def _elsewhere(size_pages: int) -> PartedImages:
    def read(part: int) -> bytes:
        raise AssertionError("a record whose pages stand elsewhere is filled before they are read")

    return PartedImages(size_pages, read)


def _pages(raw: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(raw), PAGE_BYTES):
        yield raw[start : start + PAGE_BYTES]
