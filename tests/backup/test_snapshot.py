"""Snapshots: consistent while their objects are written to, and of what changed."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from tests.backup.hosts import MakeHost, back_up, room

from roost.backup import pack, snapshot
from roost.backup.restoring import restore
from roost.backup.series import Series, series_of
from roost.backup.snapshot import Progress
from roost.backup.target import DirectoryTarget, write_bytes
from roost.errors import BackupError


@pytest.fixture(autouse=True)
def files_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time of change is trusted at once, which no test waits seconds for."""
    monkeypatch.setattr(snapshot, "_RECENT_NS", 0)


def restored(target: DirectoryTarget, into: Path) -> dict[str, dict[str, bytes]]:
    """What every object of the last backup holds, by its id; each file was checked by SQLite."""
    restore(target, into)
    found = {}
    for path in sorted((into / "objects").rglob("*.sqlite")):
        connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found[path.stem] = dict(connection.execute("SELECT key, value FROM _roost_kv"))
        connection.close()
    return found


def ids(values: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    return {room(name).to_string(): {"value": value} for name, value in values.items()}


def test_a_backup_of_a_serving_host_holds_every_object_as_it_is(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for number in range(20):
        host.put(f"room {number}", b"%d" % number * 1000)
    back_up(data, target)
    assert restored(target, tmp_path / "restored") == ids(host.put_last)
    again = make_host(tmp_path / "restored")
    assert [again.get(f"room {number}") for number in range(20)] == [b"%d" % number * 1000 for number in range(20)]


def test_a_backup_of_a_stopped_roost_holds_the_same(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for number in range(5):
        host.put(f"room {number}", b"%d" % number)
    host.close()
    back_up(data, target)
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_objects_of_several_hosts_and_bindings_are_backed_up(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    one, other = make_host(), make_host(slot=1)
    one.put("a", b"1")
    other.put("b", b"2")
    other.put("b", b"3")
    back_up(data, target)
    assert restored(target, tmp_path / "restored") == ids({"a": b"1", "b": b"3"})


def test_only_what_changed_is_copied_again(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for number in range(10):
        host.put(f"room {number}", random.randbytes(3000))
    host.store.checkpoint()
    assert back_up(data, target).copied == 10
    assert back_up(data, target).copied == 0
    host.put("room 3", b"changed")
    host.put("new", b"new")
    third = back_up(data, target)
    assert (third.objects, third.copied) == (10, 0), "what the files do not hold yet is shipped"
    host.store.checkpoint()
    fourth = back_up(data, target)
    assert (fourth.objects, fourth.copied) == (11, 2)
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_a_change_so_recent_that_another_could_have_the_same_time_is_not_relied_on(
    data: Path, target: DirectoryTarget, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_RECENT_NS", 10**18)
    host = make_host()
    host.put("a", b"1")
    host.store.checkpoint()
    assert [back_up(data, target).copied for _ in range(2)] == [1, 1]


def test_an_object_that_was_deleted_is_not_in_the_next_backup(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("a", b"1")
    host.put("b", b"2")
    host.store.checkpoint()
    back_up(data, target)
    host.delete_all("a")
    host.close()
    assert back_up(data, target).objects == 1
    found = restored(target, tmp_path / "restored")
    assert found.pop(room("a").to_string(), {}) == {}
    assert found == ids({"b": b"2"})


def test_what_is_committed_and_checkpointed_while_files_are_copied_is_whole(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two frames of any file, commits are made and moved into the files, and segments are used again."""
    monkeypatch.setattr(pack, "FRAME_BYTES", 8192)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    host = make_host()
    names = [f"room {number}" for number in range(8)]

    def commits(count: int) -> None:
        for _ in range(count):
            host.put(chance.choice(names), chance.randbytes(chance.randrange(20_000)))
        if chance.random() < 0.5:
            host.store.checkpoint()

    commits(40)
    began: dict[str, bytes] = {}

    def meanwhile(progress: Progress) -> None:
        if not began:
            began.update(host.put_last)
        commits(2)

    back_up(data, target, meanwhile)
    assert began != host.put_last
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_a_large_object_passes_in_pieces(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    class Watched:
        def __init__(self, file: IO[bytes]) -> None:
            self._file = file

        def read(self, size: int) -> bytes:
            read.append(size)
            return self._file.read(size)

    add: Any = pack.PackWriter.add

    def watched_add(self: pack.PackWriter, *arguments: Any) -> pack.Copy:
        copy: pack.Copy = add(self, *arguments[:-1], Watched(arguments[-1]))
        return copy

    monkeypatch.setattr(pack.PackWriter, "add", watched_add)
    host = make_host()
    for key in range(40):
        host.put("large", random.randbytes(100_000), f"key {key}")
    host.store.checkpoint()
    back_up(data, target)
    assert max(read) == pack.FRAME_BYTES
    assert len(read) > 4
    restore(target, tmp_path / "restored")
    assert make_host(tmp_path / "restored").get("large", "key 39") == host.put_last["large"]


# -- after a kill ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def kill_after(objects: int) -> Callable[[Progress], None]:
    def meanwhile(progress: Progress) -> None:
        if progress.objects > objects:
            raise Killed

    return meanwhile


def test_a_backup_that_was_killed_is_not_there_and_the_next_goes_on_where_it_was(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PACK_BYTES", 1)  # every copy has a pack of its own
    host = make_host()
    for number in range(12):
        host.put(f"room {number}", b"%d" % number)
    host.store.checkpoint()
    for objects in (4, 8):
        with pytest.raises(Killed):
            back_up(data, target, kill_after(objects))
    series = Series(target, series_of(data))
    assert series.snapshots() == []
    with pytest.raises(BackupError, match="there is no backup"):
        restore(target, tmp_path / "none")
    whole = back_up(data, target)
    assert (whole.objects, whole.copied) == (12, 12 - 8 + 1), "the one that was not finished is copied again"
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_what_a_killed_backup_copied_and_was_changed_since_is_copied_again(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "PACK_BYTES", 1)
    host = make_host()
    for number in range(6):
        host.put(f"room {number}", b"%d" % number)
    host.store.checkpoint()
    with pytest.raises(Killed):
        back_up(data, target, kill_after(5))
    for number in range(6):
        host.put(f"room {number}", b"new %d" % number)
    host.store.checkpoint()
    assert back_up(data, target).copied == 6
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


# -- packs -------------------------------------------------------------------------------------------------------------


def test_a_pack_that_is_mostly_not_needed_any_more_is_left_behind(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for number in range(10):
        host.put(f"room {number}", random.randbytes(3000))
    host.store.checkpoint()
    first = back_up(data, target)
    for number in range(6):
        host.put(f"room {number}", random.randbytes(3000))
    host.store.checkpoint()
    second = back_up(data, target)
    assert second.copied == 6
    assert set(first.packs) < set(second.packs)
    third = back_up(data, target)
    assert third.copied == 4
    assert not set(first.packs) & set(third.packs)
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_a_damaged_snapshot_does_not_keep_the_next_from_being_made(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host()
    host.put("a", b"1")
    host.store.checkpoint()
    series = Series(target, series_of(data))
    first = back_up(data, target)
    write_bytes(target, series.name(f"snapshots/{first.id}.json"), b"garbage")
    for name in series.packs():
        write_bytes(target, series.name(name), b"garbage")
    second = back_up(data, target)
    assert second.copied == 1
    assert second.id > first.id
    assert "is damaged" in caplog.text
    series.remove([f"snapshots/{first.id}.json"])
    assert restored(target, tmp_path / "restored") == ids(host.put_last)


def test_other_files_beside_the_objects_are_left_alone(
    data: Path, target: DirectoryTarget, make_host: MakeHost
) -> None:
    host = make_host()
    host.put("a", b"1")
    host.store.checkpoint()
    (found,) = (data / "objects").rglob("*.sqlite")
    found.with_suffix(".sums").write_bytes(b"x")
    found.with_name("notes.txt").write_bytes(b"x")
    assert back_up(data, target).objects == 1


def test_numbers_of_snapshots_grow_when_the_clock_goes_back(
    data: Path, target: DirectoryTarget, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_host().put("a", b"1")
    now: Iterator[float] = iter([2_000_000_000.0, 1_000_000_000.0])
    first = back_up(data, target)
    real = time.gmtime
    monkeypatch.setattr(time, "gmtime", lambda seconds=None: real(next(now)))
    second = back_up(data, target)
    assert second.id > first.id
    assert os.path.exists(target.path / series_of(data) / "snapshots" / f"{second.id}.json")
