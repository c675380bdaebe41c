"""Verifying reads everything, and says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.backup.hosts import MakeHost, back_up

from roost.backup.restoring import choose
from roost.backup.target import DirectoryTarget, read_bytes, write_bytes
from roost.backup.verifying import verify
from roost.errors import BackupError


def test_what_is_whole_is_counted(data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host()
    for number in range(3):
        host.put(f"room {number}", b"x")
    host.store.checkpoint()
    host.put("new", b"y")
    back_up(data, target)
    found = verify(*choose(target), tmp_path)
    assert (found.objects, found.shipments) == (3, 1)
    assert found.bytes >= 3 * 4096


@pytest.mark.parametrize("kind", ["packs/", "catalogs/", "log/"])
def test_what_is_damaged_or_missing_is_named(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, kind: str
) -> None:
    host = make_host()
    host.put("a", b"x")
    host.store.checkpoint()
    host.put("a", b"y")
    back_up(data, target)
    series, snapshot = choose(target)
    (name,) = target.names(series.name(kind))
    whole = read_bytes(target, name)
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 1
    write_bytes(target, name, bytes(damaged))
    with pytest.raises(BackupError, match=f"{kind}.* is damaged"):
        verify(series, snapshot, tmp_path)
    target.remove([name])
    with pytest.raises(BackupError, match=r"holds no|is damaged"):
        verify(series, snapshot, tmp_path)
