"""Packs: what was copied into them comes out of them, or an error that names the pack."""

from __future__ import annotations

import io
import os

import pytest

from roost.backup import pack as module
from roost.backup.pack import Copy, PackReader, PackWriter, read_index
from roost.backup.target import DirectoryTarget, read_bytes, write_bytes
from roost.errors import BackupError

FILES = [b"", b"small", os.urandom(3_000_000), b"x" * 5_000_000, os.urandom(1024 * 1024)]


def write(target: DirectoryTarget, name: str = "a.pack") -> list[Copy]:
    with target.write(f"packs/{name}") as sink:
        writer = PackWriter(f"packs/{name}", sink)
        for number, content in enumerate(FILES):
            writer.add("ROOM", bytes([number]) * 32, number, len(content), io.BytesIO(content))
        writer.finish()
    assert writer.bytes == target.size(f"packs/{name}")
    return writer.copies


def test_every_file_comes_back_in_any_order(target: DirectoryTarget) -> None:
    copies = write(target)
    assert read_index(target, "packs/a.pack") == copies
    reader = PackReader(target, ".")
    for order in (copies, copies[::-1]):
        for copy in order:
            assert b"".join(reader.read(copy)) == FILES[copy.stamp]


def test_copies_that_lie_behind_each_other_are_read_by_one_request(
    target: DirectoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = write(target)
    streams: list[str] = []
    stream = target.stream

    def counted(name: str, start: int = 0, length: int | None = None) -> object:
        streams.append(name)
        return stream(name, start, length)

    monkeypatch.setattr(target, "stream", counted)
    reader = PackReader(target, ".")
    assert [b"".join(reader.read(copy)) for copy in copies] == FILES
    assert len(streams) == 1


def test_a_file_is_read_and_written_in_frames(target: DirectoryTarget) -> None:
    pauses: list[None] = []
    with target.write("packs/a.pack") as sink:
        writer = PackWriter("packs/a.pack", sink, lambda: pauses.append(None))
        copy = writer.add("ROOM", b"k" * 32, 1, 1, io.BytesIO(bytes(module.FRAME_BYTES * 3 + 1)))
        writer.finish()
    assert len(pauses) == 5, "one for the end"
    assert [len(piece) for piece in PackReader(target, ".").read(copy)] == [*[module.FRAME_BYTES] * 3, 1]


def test_every_flipped_bit_is_noticed_where_it_matters(target: DirectoryTarget) -> None:
    copies = write(target)
    raw = read_bytes(target, "packs/a.pack")
    copy = copies[2]
    for at in (copy.offset, copy.offset + 5, copy.offset + 9, copy.offset + 1000, copy.offset + copy.length - 12):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        write_bytes(target, "packs/a.pack", bytes(damaged))
        with pytest.raises(BackupError, match=r"packs/a\.pack in .* is damaged"):
            b"".join(PackReader(target, ".").read(copy))
    for at in (len(raw) - 1, len(raw) - 10, len(raw) - 25, len(raw) - 40):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        write_bytes(target, "packs/a.pack", bytes(damaged))
        with pytest.raises(BackupError, match=r"packs/a\.pack in .* is damaged"):
            read_index(target, "packs/a.pack")


def test_a_pack_that_is_too_short_is_noticed(target: DirectoryTarget) -> None:
    copy = write(target)[2]
    raw = read_bytes(target, "packs/a.pack")
    for size in (copy.offset + 3, copy.offset + copy.length - 5, 10, 0):
        write_bytes(target, "packs/a.pack", raw[:size])
        with pytest.raises(BackupError, match="is damaged"):
            b"".join(PackReader(target, ".").read(copy))
        with pytest.raises(BackupError, match="is damaged"):
            read_index(target, "packs/a.pack")
