"""The way back: whole, as of any moment that was shipped, into a directory that begins anew."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.backup.hosts import FakeTime, MakeHost, back_up, file_of, room, rot

from roost.backup import partial_fetch, restoring
from roost.backup.pruning import prune
from roost.backup.restoring import choose, restore
from roost.backup.series import Series, series_of, spool_of
from roost.backup.shipper import Shipper
from roost.backup.target import DirectoryTarget, read_bytes, write_bytes
from roost.errors import BackupError, DataDirectoryError, StorageCorruptError
from roost.history.object_history import ObjectHistory
from roost.limits import Limits
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.sums import unchecked_pages


def ship(data: Path, target: DirectoryTarget) -> None:
    with spool_of(data) as spool:
        shipper = Shipper(data, Series(target, series_of(data)), spool)
        shipper.find_ends()
        shipper.ship()


def value(data: Path, name: str = "lobby") -> bytes | None:
    (path,) = (data / "objects").rglob(f"{room(name).to_string()}.sqlite")
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for (found,) in connection.execute("SELECT value FROM _roost_kv"):
            return bytes(found)
        return None
    finally:
        connection.close()


def test_any_moment_that_was_shipped_can_be_led_back(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    clock = FakeTime(1_000_000)
    host = make_host(clock=clock)
    host.put("lobby", b"0")
    back_up(data, target, clock=clock)
    for number in range(1, 8):
        clock.ms += 10_000
        host.put("lobby", b"%d" % number)
        if number % 2:
            ship(data, target)
        if number == 4:
            host.store.checkpoint()
            back_up(data, target, clock=clock)
    for at_ms, expected in [
        (1_000_000, b"0"),
        (1_009_999, b"0"),
        (1_010_000, b"1"),
        (1_039_999, b"3"),
        (1_040_000, b"4"),
        (1_069_999, b"6"),
        (1_070_000, b"7"),
        (9_000_000, b"7"),
        (None, b"7"),
    ]:
        into = tmp_path / f"at {at_ms}"
        restore(target, into, at_ms=at_ms)
        assert value(into) == expected, at_ms


def test_an_object_that_began_later_is_not_there_yet(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    clock = FakeTime(1_000_000)
    host = make_host(clock=clock)
    host.put("lobby", b"0")
    back_up(data, target, clock=clock)
    clock.ms += 10_000
    host.put("later", b"1")
    ship(data, target)
    assert restore(target, tmp_path / "early", at_ms=1_005_000).objects == 1
    assert restore(target, tmp_path / "late").objects == 2


def test_a_time_before_the_first_backup_is_refused_and_told_where_it_begins(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    make_host().put("lobby", b"0")
    back_up(data, target, clock=FakeTime(1_700_000_000_000))
    with pytest.raises(BackupError, match="begins at 2023-11-14 22:13:20 UTC; there is nothing of 1970-01-01"):
        restore(target, tmp_path / "restored", at_ms=0)
    assert not (tmp_path / "restored").exists()


def test_one_object_alone(data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host()
    host.put("a", b"1")
    host.put("b", b"2")
    back_up(data, target)
    assert restore(target, tmp_path / "restored", key=room("b").key).objects == 1
    assert value(tmp_path / "restored", "b") == b"2"
    with pytest.raises(BackupError, match="holds no object"):
        restore(target, tmp_path / "none", key=room("c").key)
    assert not (tmp_path / "none").exists()


def test_only_an_empty_directory_is_restored_into(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_host().put("a", b"1")
    back_up(data, target)
    with pytest.raises(DataDirectoryError, match="is not empty"):
        restore(target, data)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="is not empty"):
        restore(target, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    restore(target, tmp_path / "empty")
    assert value(tmp_path / "empty", "a") == b"1"
    restore(target, tmp_path / "deep" / "below")
    (tmp_path / "mounted").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(DataDirectoryError, match="is where a disk is mounted"):
        restore(target, tmp_path / "mounted")


def test_a_restore_that_was_killed_leaves_no_directory_and_the_next_succeeds(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*arguments: object) -> None:
        raise Killed

    make_host().put("a", b"1")
    back_up(data, target)
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "adopt", killed)
        patched.setattr("shutil.rmtree", lambda *arguments, **options: None)  # a kill tidies nothing up
        with pytest.raises(Killed):
            restore(target, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    assert (tmp_path / ".restored.restoring").exists()
    restore(target, tmp_path / "restored")
    assert value(tmp_path / "restored", "a") == b"1"
    assert not (tmp_path / ".restored.restoring").exists()


def test_what_was_led_back_is_served_has_a_history_and_is_backed_up_as_a_series_of_its_own(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    host.put("lobby", b"2")
    back_up(data, target)
    first = choose(target)[0].id
    restore(target, tmp_path / "restored")
    again = make_host(tmp_path / "restored")
    assert again.get("lobby") == b"2"
    before = again.store.open_writer(room("lobby"))
    again.put("lobby", b"3")
    writer = again.store.open_writer(room("lobby"))
    assert before is not None
    assert writer is not None
    assert len(ObjectHistory(tmp_path / "restored", room("lobby")).versions()) >= 1
    assert ObjectHistory(tmp_path / "restored", room("lobby")).state_at(writer.number).size_pages > 0
    back_up(tmp_path / "restored", target)
    assert choose(target)[0].id != first
    restore(target, tmp_path / "twice")
    assert value(tmp_path / "twice") == b"3"


def test_alarms_come_with_their_objects(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    storage = host.store.open(room("lobby"))
    storage.put("a", b"1")
    storage.alarms.set("", 5_000_000_000_000, limit=10)
    storage.commit(lambda error: None)
    host.store.settle()
    back_up(data, target)
    restore(target, tmp_path / "restored")
    again = make_host(tmp_path / "restored")
    alarms = again.store.open(room("lobby"))
    assert alarms.alarms.get("") == 5_000_000_000_000


def test_files_of_a_restored_directory_are_for_nobody_else(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    make_host().put("a", b"1")
    back_up(data, target)
    restore(target, tmp_path / "restored")
    for path in [tmp_path / "restored", *(tmp_path / "restored").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


# -- damage ------------------------------------------------------------------------------------------------------------


def flip(target: DirectoryTarget, name: str, at: int) -> None:
    raw = bytearray(read_bytes(target, name))
    raw[at] ^= 0x40
    write_bytes(target, name, bytes(raw))


@pytest.mark.parametrize("kind", ["packs/", "catalogs/", "snapshots/", "log/"])
@pytest.mark.parametrize("where", [0.02, 0.3, 0.6, 0.98])
def test_damage_is_told_by_name_and_nothing_is_led_back(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, kind: str, where: float
) -> None:
    host = make_host()
    host.put("a", os.urandom(5000))
    host.store.checkpoint()
    host.put("a", os.urandom(5000), "other")
    back_up(data, target)
    series = choose(target)[0]
    for name in target.names(series.name(kind)):
        flip(target, name, int(target.size(name) * where))
    if (kind, where) == ("packs/", 0.98):
        restore(target, tmp_path / "restored")  # the index of a pack, which is only read to go on after a kill
        return
    with pytest.raises(BackupError, match=rf"{kind}.* is damaged"):
        restore(target, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_missing_shipment_is_damage(data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path) -> None:
    make_host().put("a", b"1")
    back_up(data, target)
    target.remove(list(target.names(choose(target)[0].name("log/"))))
    with pytest.raises(BackupError, match="of what host 0 committed while it was made, something is missing"):
        restore(target, tmp_path / "restored")


def test_what_lies_behind_a_gap_is_not_applied(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    back_up(data, target)
    for number in (2, 3, 4):
        host.put("lobby", b"%d" % number)
        ship(data, target)
    names = list(target.names(choose(target)[0].name("log/")))
    target.remove([names[2]])
    restore(target, tmp_path / "restored")
    assert value(tmp_path / "restored") == b"2"


def test_a_newer_format_is_refused_by_its_number(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_host().put("a", b"1")
    back_up(data, target)
    monkeypatch.setattr("roost.backup.series.FORMAT", 0)
    with pytest.raises(BackupError, match="has format 1; this roost reads up to 0"):
        restore(target, tmp_path / "restored")


def test_an_older_backup_is_there_until_it_is_pruned(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    clock = FakeTime(1_000_000)
    host = make_host(clock=clock)
    for number in range(4):
        host.put("lobby", b"%d" % number)
        host.store.checkpoint()
        back_up(data, target, clock=clock)
        clock.ms += 1000
    restore(target, tmp_path / "second", at_ms=1_001_500)
    assert value(tmp_path / "second") == b"1"
    series = choose(target)[0]
    assert prune(series, 2).snapshots == 2
    with pytest.raises(BackupError, match="begins at"):
        restore(target, tmp_path / "gone", at_ms=1_001_500)
    restore(target, tmp_path / "third", at_ms=1_002_500)
    assert value(tmp_path / "third") == b"2"


def test_what_was_led_back_has_checksums(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_SUM_AT_ONCE", 2)
    make_host().put("a", b"1" * 50_000)
    back_up(data, target)
    restore(target, tmp_path / "restored")
    path = file_of(tmp_path / "restored", "a")
    assert unchecked_pages(path, path.stat().st_size // PAGE_BYTES) == 0
    assert path.stat().st_size > 10 * PAGE_BYTES
    rot(tmp_path / "restored", "a", 9)
    with pytest.raises(StorageCorruptError, match="page 9"):
        make_host(tmp_path / "restored").get("a")


def test_of_shipments_little_is_fetched_for_one_object_alone(
    data: Path, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_fetch, "WHOLE_BYTES", 0)
    fetched: dict[str, int] = {}

    class Counting(DirectoryTarget):
        def stream(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
            for piece in super().stream(name, start, length):
                fetched[name] = fetched.get(name, 0) + len(piece)
                yield piece

    target, host = Counting(tmp_path / "target"), make_host(limits=Limits(journal_segment_bytes=4 * 2**20))
    for name in ("a", "b", "c", "d", "b"):
        host.put(name, random.randbytes(200_000))
    back_up(data, target)
    (log,) = (name for name in target.names(f"{series_of(data)}/log/"))
    assert restore(target, tmp_path / "one", key=room("b").key).objects == 1
    assert 400_000 < fetched[log] < 0.6 * target.size(log)
    assert make_host(tmp_path / "one").get("b") == host.put_last["b"]
