"""Snapshots: consistent while their objects are written to, and of what changed."""

from __future__ import annotations

from pathlib import Path

from tests.backup.hosts import MakeHost, back_up

from roost.backup.restoring import restore
from roost.backup.target import DirectoryTarget


def test_a_backup_of_a_serving_host_holds_every_object_as_it_is(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for number in range(20):
        host.put(f"room {number}", b"%d" % number * 1000)
    back_up(data, target)
    restored = restore(target, tmp_path / "restored")
    assert restored.objects == 20
    again = make_host(tmp_path / "restored")
    assert [again.get(f"room {number}") for number in range(20)] == [b"%d" % number * 1000 for number in range(20)]
