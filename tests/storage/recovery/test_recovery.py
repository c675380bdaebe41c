"""Recovery: one rule, and what it refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.errors import DataDirectoryError, StorageCorruptError
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.alarms.agenda_reader import readers_of
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import segment_paths
from roost.storage.layout import DataDirectory
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.recovery.recovery import Recovered, recover_all
from roost.storage.recovery.survey import Survey
from roost.storage.store import HostStore

MakeStore = Callable[..., HostStore]


def filled(make_store: MakeStore, space: IdSpace, directory: Path, slot: int = 0, commits: int = 3) -> Path:
    """A copy of a data directory in which a host crashed after some confirmed commits of one object."""
    store = make_store(directory, slot, limits=Limits(journal_segment_bytes=32 * 1024, checkpoint_bytes=1 << 30))
    storage = store.open(space.from_name(f"of host {slot}"))
    for number in range(commits):
        storage.put("number", b"%d" % number + os.urandom(2000))
        storage.commit(lambda error: None)
        store._log.flush()
    return crashed(directory)


def crashed(directory: Path) -> Path:
    """The directory as a crash now would leave it."""
    copy = directory.with_name(f"{directory.name}-crashed")
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
    return copy


def first_digits(store: HostStore, space: IdSpace, slot: int) -> bytes:
    value = store.open(space.from_name(f"of host {slot}")).get("number")
    assert value is not None
    return value[:-2000]


def test_the_journals_of_all_hosts_are_recovered_in_one_call(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    for slot in range(3):
        copy = filled(make_store, space, tmp_path / "data", slot)
    assert recover_all(copy) == Recovered(objects=3, commits=9)
    assert recover_all(copy) == Recovered(objects=0, commits=0)
    store = make_store(copy)  # one host now has what three had
    assert [first_digits(store, space, slot) for slot in range(3)] == [b"2"] * 3


def test_a_running_host_is_not_recovered(make_store: MakeStore, tmp_path: Path) -> None:
    make_store(tmp_path / "data", 1)
    with pytest.raises(DataDirectoryError, match="host 1 runs as process"):
        recover_all(tmp_path / "data")


def test_a_new_directory_has_nothing_to_recover(tmp_path: Path) -> None:
    assert recover_all(tmp_path / "new") == Recovered(objects=0, commits=0)


def test_replaying_twice_does_no_harm(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    copy = filled(make_store, space, tmp_path / "data")
    before = {path.name: path.read_bytes() for path in segment_paths(copy / "hosts" / "0")}
    recover_all(copy)
    for name, content in before.items():  # as if the crash had come before the journal was marked as empty
        (copy / "hosts" / "0" / name).write_bytes(content)
    assert recover_all(copy).commits == 3
    assert first_digits(make_store(copy), space, 0) == b"2"


def test_an_untrusted_write_ahead_log_is_removed(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    copy = filled(make_store, space, tmp_path / "data")
    path = DataDirectory(copy).object_path("ROOM", space.from_name("of host 0").key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}-wal").write_bytes(b"left by a version that logged to the disk")
    recover_all(copy)
    assert not list((copy / "objects").rglob("*-wal"))


def entries_of(copy: Path) -> tuple[Path, list[tuple[int, int]]]:
    path = max(segment_paths(copy / "hosts" / "0"), key=lambda path: path.stat().st_mtime_ns)
    for path in segment_paths(copy / "hosts" / "0"):
        reader = SegmentReader(path)
        places = [(entry.offset, entry.length) for entry in reader.entries()] if reader.sequence else []
        reader.close()
        if len(places) >= 3:
            return path, places
    raise AssertionError("no segment holds three entries")


def test_a_torn_end_is_cut_off(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    copy = filled(make_store, space, tmp_path / "data")
    path, places = entries_of(copy)
    with path.open("r+b") as file:
        file.seek(places[-1][0] + 10)
        file.write(bytes(20))
    assert recover_all(copy).commits == 2
    assert first_digits(make_store(copy), space, 0) == b"1"


def damage(path: Path, at: int, size: int = 20) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(size))


def test_damage_that_can_be_named_costs_only_the_objects_it_concerns(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    source = make_store(tmp_path / "data")
    hit, spared = source.open(space.from_name("hit")), source.open(space.from_name("spared"))
    for handle, value in ((hit, b"1"), (spared, b"1"), (hit, b"2"), (hit, b"3"), (spared, b"2")):
        handle.put("value", value)
        handle.commit(lambda error: None)
        source.settle()
    copy = crashed(tmp_path / "data")
    path, places = entries_of(copy)
    damage(path, places[2][0] + 10)
    assert recover_all(copy).objects == 2
    store = make_store(copy)
    assert store.open(spared.object_id).get("value") == b"2"
    with pytest.raises(StorageCorruptError, match=r"in quarantine: commits .* cannot be read .* repair"):
        store.open(hit.object_id).get("value")
    (case,) = Quarantine(copy).cases()
    assert (case.key, case.binding, len(case.lost)) == (hit.object_id.key.hex(), "ROOM", 1)
    Quarantine(copy).lift(hit.object_id.key)
    assert store.open(hit.object_id).get("value") == b"1"  # the last state before what was lost


def test_a_bad_block_never_hides_whose_commits_it_took(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    """Whole blocks of the disk, wherever they lie: what was in them is named by what stands behind."""
    source = make_store(tmp_path / "data", limits=Limits(journal_segment_bytes=1024 * 1024))
    handles = [source.open(space.from_name(f"room {number}")) for number in range(12)]
    for turn in range(8):
        for handle in handles:
            handle.put("value", b"%d" % turn * 50)
            handle.commit(lambda error: None)
            source.settle()
    whole = crashed(tmp_path / "data")
    path, places = entries_of(whole)
    assert len(places) > 30
    ends = [offset + length for offset, length in places]
    for block in range(1, (ends[-20] - 4096) // 4096):
        copy = whole.with_name(f"block {block}")
        shutil.copytree(whole, copy)
        damage(copy / path.relative_to(whole), 4096 * block, 4096)
        survey = Survey(copy / "hosts" / "0")
        lost = sum(len(traces.lost) for traces in survey.objects.values())
        assert lost + survey.commits == 8 * 12
        survey.close()


def test_damage_that_cannot_be_named_is_refused(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    copy = filled(make_store, space, tmp_path / "data", commits=80)
    path, places = entries_of(copy)
    damage(path, places[0][0] - 100, places[-2][0] - places[0][0])
    with pytest.raises(
        StorageCorruptError, match=r"the journal is damaged: .* confirmed cannot be read, and whose they are cannot be"
    ):
        recover_all(copy)
    with pytest.raises(StorageCorruptError):
        make_store(copy)


def test_a_missing_segment_is_noticed(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    copy = filled(make_store, space, tmp_path / "data", commits=40)
    used = []
    for path in segment_paths(copy / "hosts" / "0"):
        reader = SegmentReader(path)
        if list(reader.entries()):
            used.append((reader.sequence, path))
        reader.close()
    assert len(used) >= 3
    sorted(used)[1][1].unlink()
    with pytest.raises(StorageCorruptError, match="commits that were confirmed cannot be"):
        recover_all(copy)


def test_what_the_journal_says_of_alarms_is_in_the_agenda_afterwards(
    make_store: MakeStore, space: IdSpace, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "data")
    for name, due in (("a", 5), ("b", 6)):
        storage = store.open(space.from_name(name))
        storage.alarms.set("", due, limit=9)
        storage.commit(lambda error: None)
    store._log.flush()
    copy = crashed(tmp_path / "data")
    recover_all(copy)
    with readers_of(copy) as (agenda,):
        assert [entry.due for entry in agenda.next(9)] == [5, 6]
