"""Damaged objects: what was written is never replaced by what was not, and all others are backed up."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from tests.backup.hosts import Host, MakeHost, back_up, file_of, room, rot

from roost.backup import snapshot as module
from roost.backup.exporting import export_all, export_object
from roost.backup.restoring import choose, restore
from roost.backup.series import Series, Snapshot, series_of
from roost.backup.summed_file import SummedFile
from roost.backup.target import DirectoryTarget, write_bytes
from roost.backup.verifying import verify
from roost.clock import SystemClock
from roost.errors import StorageCorruptError
from roost.history import live_state
from roost.ids import ObjectId
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.sums import sums_path


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECENT_NS", 0)
    monkeypatch.setattr("roost.history.live_state.time.sleep", lambda seconds: None)


@pytest.fixture
def stored(data: Path, target: DirectoryTarget, make_host: MakeHost) -> Host:
    """A host with the objects a and b, as of 1 in the backup and as of 2 in files that the journal knows no more of."""
    host = make_host()
    for value in (b"1", b"2"):
        host.put("a", value * 10_000)
        host.put("b", value * 10_000)
        host.forget_in_journal()
        if value == b"1":
            back_up(data, target)
    return host


def led_back(target: DirectoryTarget, into: Path) -> dict[str, bytes]:
    """The first byte of what a and b hold after the way back, everything of which was checked."""
    (into.parent / "spool").mkdir(exist_ok=True)
    for left in (into.parent / "spool").iterdir():
        left.unlink()
    verify(*choose(target), into.parent / "spool")
    restore(target, into)
    found = {}
    for name in ("a", "b"):
        if file_of(into, name).exists():
            connection = sqlite3.connect(f"file:{file_of(into, name)}?immutable=1", uri=True)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            ((value,),) = connection.execute("SELECT value FROM _roost_kv").fetchall()
            connection.close()
            assert len(value) == 10_000
            found[name] = value[:1]
    return found


def damaged(snapshot: Snapshot) -> list[tuple[str, bool]]:
    return [(one.id, one.kept) for one in snapshot.damaged]


A = room("a").to_string()


@pytest.mark.parametrize("page", [1, 4])
def test_the_last_good_copy_stays_and_the_others_go_on(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path, page: int
) -> None:
    rot(data, "a", page)
    made = back_up(data, target)
    assert damaged(made) == [(A, True)]
    assert f"not what was written: page {page}" in made.damaged[0].reason
    assert f"`roost repair {A}`" in made.damaged[0].reason
    assert led_back(target, tmp_path / "one") == {"a": b"1", "b": b"2"}
    assert damaged(back_up(data, target)) == [(A, True)]
    assert led_back(target, tmp_path / "two") == {"a": b"1", "b": b"2"}
    assert restore(target, tmp_path / "three").damaged == made.damaged


def test_a_copy_that_was_kept_is_a_state_whatever_is_committed_after_the_damage(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    """What was committed between the copy and the damage is in no shipment, so later commits do not fit onto it."""
    rot(data, "a", 4)
    stored.put("a", b"3", "other")
    assert damaged(back_up(data, target)) == [(A, True)]
    assert led_back(target, tmp_path / "one") == {"a": b"1", "b": b"2"}


def test_an_object_that_is_whole_again_is_copied_again(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    rot(data, "a")
    back_up(data, target)
    rot(data, "a")
    assert damaged(back_up(data, target)) == []
    assert led_back(target, tmp_path / "one") == {"a": b"2", "b": b"2"}


def test_an_object_in_quarantine_is_not_copied(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    Quarantine(data).put(Case(key=A, binding="ROOM", reason="commits cannot be read", lost=[7]))
    made = back_up(data, target)
    assert damaged(made) == [(A, True)]
    assert "in quarantine: commits cannot be read" in made.damaged[0].reason
    assert led_back(target, tmp_path / "one") == {"a": b"1", "b": b"2"}


def test_of_an_object_that_was_never_backed_up_there_is_nothing(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    for name in ("a", "b"):
        host.put(name, b"1" * 10_000)
    host.forget_in_journal()
    rot(data, "a", 4)
    host.put("a", b"3", "other")
    assert damaged(back_up(data, target)) == [(A, False)]
    assert led_back(target, tmp_path / "one") == {"b": b"1"}
    rot(data, "a", 4)
    assert damaged(back_up(data, target)) == []


def test_a_good_copy_that_is_damaged_itself_is_told_and_keeps_nothing_from_being_backed_up(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    rot(data, "a")
    series = Series(target, series_of(data))
    for name in series.packs():
        write_bytes(target, series.name(name), b"garbage")
    stored.put("b", b"3" * 10_000)
    stored.store.checkpoint()
    made = back_up(data, target)
    assert damaged(made) == [(A, False)]
    assert "and its copy:" in made.damaged[0].reason
    assert led_back(target, tmp_path / "one") == {"b": b"3"}


def test_a_file_that_cannot_be_read_is_damaged_too(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Any = SummedFile.read
    copy_file = live_state._copy_file

    def fails(self: SummedFile, size: int, /) -> bytes:
        if self._file.name == str(file_of(data, "a")):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        raw: bytes = read(self, size)
        return raw

    def fails_too(path: Path, into: Any) -> None:
        if path == file_of(data, "a"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        copy_file(path, into)

    monkeypatch.setattr(SummedFile, "read", fails)
    monkeypatch.setattr("roost.history.live_state._copy_file", fails_too)
    made = back_up(data, target)
    assert damaged(made) == [(A, True)]
    assert "cannot be read from the disk" in made.damaged[0].reason
    assert led_back(target, tmp_path / "one") == {"a": b"1", "b": b"2"}


def test_a_page_that_the_journal_writes_anew_is_mended_in_the_copy(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    before = file_of(data, "a").read_bytes()
    stored.put("a", b"3" * 10_000)
    stored.store.checkpoint()
    after = file_of(data, "a").read_bytes()
    rot(data, "a", next(at for at in range(len(after)) if before[at : at + 1] != after[at : at + 1]) // PAGE_BYTES + 1)
    assert damaged(back_up(data, target)) == []
    assert led_back(target, tmp_path / "one") == {"a": b"3", "b": b"2"}
    stored.forget_in_journal()
    assert damaged(back_up(data, target)) == [(A, True)], "the copy with the page in it is not relied on"
    assert led_back(target, tmp_path / "two") == {"a": b"3", "b": b"2"}


def test_a_file_without_checksums_is_copied_unchecked(
    data: Path, target: DirectoryTarget, stored: Host, tmp_path: Path
) -> None:
    sums_path(file_of(data, "a")).unlink()
    assert damaged(back_up(data, target)) == []
    assert led_back(target, tmp_path / "one") == {"a": b"2", "b": b"2"}


@pytest.mark.parametrize("still_there", [True, False], ids=["in the journal", "in archives"])
def test_checkpoints_while_files_are_copied_are_no_damage(
    data: Path,
    target: DirectoryTarget,
    stored: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    still_there: bool,
) -> None:
    """Pages that are copied before a checkpoint and compared with the checksums of after it."""
    differing: Callable[[SummedFile, Path], list[int]] = SummedFile.differing
    copied: list[ObjectId] = []
    did_not: list[Path] = []

    def overtaken(self: SummedFile, path: Path) -> list[int]:
        if path == file_of(data, "a") and not did_not:
            stored.put("a", b"3" * 10_000)
            if still_there:
                stored.store.checkpoint()
            else:
                stored.forget_in_journal()
        found = differing(self, path)
        if found:
            did_not.append(path)
        return found

    def watched(data: Path, object_id: ObjectId, into: IO[bytes]) -> int | None:
        copied.append(object_id)
        return live_state.copy_live(data, object_id, into)

    monkeypatch.setattr(SummedFile, "differing", overtaken)
    monkeypatch.setattr(module, "copy_live", watched)
    made = back_up(data, target)
    assert damaged(made) == []
    assert did_not == [file_of(data, "a")]
    assert copied == ([] if still_there else [room("a")]), "what is shipped anyway mends the copy"
    assert led_back(target, tmp_path / "one") == {"a": b"3", "b": b"2"}


def test_an_export_of_a_damaged_object_fails_and_leaves_nothing(data: Path, stored: Host, tmp_path: Path) -> None:
    rot(data, "a", 4)
    with pytest.raises(StorageCorruptError, match=rf"page 4.*`roost repair {A}`"):
        export_object(data, room("a"), tmp_path / "file")
    rot(data, "a", 4)
    Quarantine(data).put(Case(key=A, binding="ROOM", reason="commits cannot be read", lost=[7]))
    with pytest.raises(StorageCorruptError, match=rf"commits cannot be read.*`roost repair {A}`"):
        export_object(data, room("a"), tmp_path / "file")
    assert not list(tmp_path.glob("*file*"))


def test_an_export_of_all_leaves_out_what_is_damaged(data: Path, stored: Host, tmp_path: Path) -> None:
    rot(data, "a", random.choice([1, 4]))
    done = export_all(data, tmp_path / "all", SystemClock())
    assert done.objects == 2
    assert [one.id for one in done.damaged] == [A]
    found = {path.stem for path in (tmp_path / "all" / "ROOM").iterdir()}
    assert found == {room(name).to_string() for name in ("b", "noise")}
