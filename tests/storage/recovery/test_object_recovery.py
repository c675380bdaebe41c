"""Objects that a crash left behind: each is recovered when it is needed, and has its own troubles."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roost.errors import StorageCorruptError, StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.background.background_writer import BackgroundLostError
from roost.storage.background.errands import Done, Errand, Recover
from roost.storage.files import Files
from roost.storage.journal.parted_images import PART_PAGES
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.journal.segment import Entry, SegmentReader
from roost.storage.journal.segments import segment_paths
from roost.storage.journal.side_file import SideFiles
from roost.storage.layout import DataDirectory
from roost.storage.open_files import OpenFiles
from roost.storage.recovery import object_recovery
from roost.storage.recovery.object_recovery import ObjectRecovery
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.recovery.survey import Survey
from roost.storage.store import HostStore
from roost.storage.sums import damaged_pages

MakeStore = Callable[..., HostStore]
LIMITS = Limits(journal_segment_bytes=64 * 1024, checkpoint_bytes=1 << 30)


@pytest.fixture
def ids(space: IdSpace) -> list[ObjectId]:
    return [space.from_name(f"room {number}") for number in range(8)]


@pytest.fixture
def left_behind(make_store: MakeStore, ids: list[ObjectId], tmp_path: Path) -> Path:
    """A directory after a crash: eight objects, of which no file holds anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFiles, "bring_up_to_date", lambda self, keys: None)
        store = make_store(limits=LIMITS)
    for turn in range(6):
        for object_id in ids:
            storage = store.open(object_id)
            storage.put("turn", b"%d" % turn)
            storage.put(f"value {turn}", os.urandom(900))
            storage.commit(lambda error: None)
        store.settle()
    shutil.copytree(tmp_path / "data", tmp_path / "crashed", ignore=shutil.ignore_patterns("lock"))
    return tmp_path / "crashed"


class Held:
    """A recovery of which a test decides who does what, and when."""

    def __init__(self, data: Path, files: Files | None = None) -> None:
        self.survey = Survey(data / "hosts" / "0")
        self.let_go: list[bytes] = []
        self.recovery = ObjectRecovery(
            DataDirectory(data), self.survey, lambda key, commit: self.let_go.append(key), files
        )


def test_opening_a_store_touches_no_object(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectRecovery, "start", lambda self: None)
    before = {path: path.stat().st_mtime_ns for path in (left_behind / "objects").rglob("*")}
    store = make_store(left_behind)
    assert store.waiting_for_recovery == len(ids)
    assert {path: path.stat().st_mtime_ns for path in (left_behind / "objects").rglob("*")} == before
    assert store.open(ids[3]).get("turn") == b"5"
    assert store.waiting_for_recovery == len(ids) - 1


def test_all_are_recovered_beside_the_work(left_behind: Path, make_store: MakeStore, ids: list[ObjectId]) -> None:
    store = make_store(left_behind)
    store.wait_until_recovered()
    assert store.waiting_for_recovery == 0
    assert [store.open(object_id).get("turn") for object_id in ids] == [b"5"] * len(ids)


def test_old_segments_are_used_again_once_every_object_is_recovered(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectRecovery, "start", lambda self: None)
    store = make_store(left_behind)
    assert in_use(left_behind) >= 2
    for object_id in ids[:-1]:
        store.open(object_id).get("turn")
    assert in_use(left_behind) >= 2
    store.open(ids[-1]).get("turn")
    assert in_use(left_behind) == 1


def in_use(data: Path) -> int:
    readers = [SegmentReader(path) for path in segment_paths(data / "hosts" / "0")]
    count = sum(bool(reader.sequence) and not reader.settled for reader in readers)
    for reader in readers:
        reader.close()
    return count


def test_a_store_closed_before_all_are_recovered_loses_nothing(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ObjectRecovery.start
    monkeypatch.setattr(ObjectRecovery, "start", lambda self: None)
    store = make_store(left_behind)
    first = store.open(ids[0])
    first.put("turn", b"6")
    first.commit(lambda error: None)
    store.close()
    monkeypatch.setattr(ObjectRecovery, "start", start)
    store = make_store(left_behind)
    store.wait_until_recovered()
    assert [store.open(object_id).get("turn") for object_id in ids] == [b"6"] + [b"5"] * (len(ids) - 1)


def test_an_object_is_opened_while_the_sweep_is_in_the_middle_of_it(
    left_behind: Path, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens it does not wait for the sweep, and the sweep leaves it alone from then on."""
    sweeping, go_on = threading.Event(), threading.Event()

    def sync(path: Path, *_: object) -> None:
        if threading.current_thread().name.startswith("roost-recovery-sync"):
            sweeping.set()
            go_on.wait(10)

    monkeypatch.setattr(object_recovery, "_TOGETHER", 1)
    monkeypatch.setattr(object_recovery, "sync_object", sync)
    held = Held(left_behind)
    held.recovery.start()
    assert sweeping.wait(10)
    held.recovery.recover(ids[-1].key)
    assert held.let_go == [ids[-1].key]
    go_on.set()
    held.recovery.wait()
    held.recovery.close()
    assert sorted(held.let_go) == sorted(object_id.key for object_id in ids)


def test_no_descriptor_is_left_on_a_file_that_somebody_may_open(left_behind: Path, ids: list[ObjectId]) -> None:
    """Closing one later would drop the locks that SQLite then holds."""
    held = Held(left_behind)
    for place in reversed(held.survey.places):
        held.recovery._bring_along(place)
    assert descriptors_on(left_behind, ids[0]) == 1
    held.recovery.recover(ids[0].key)
    assert descriptors_on(left_behind, ids[0]) == 0
    held.recovery.close()


def descriptors_on(data: Path, object_id: ObjectId) -> int:
    path, found = str(DataDirectory(data).object_path("ROOM", object_id.key)), 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{name}") == path
    return found


def test_whoever_comes_second_waits_for_the_first(
    left_behind: Path, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    synced: list[Path] = []

    def sync(path: Path, *_: object) -> None:
        synced.append(path)
        inside.set()
        go_on.wait(10)

    monkeypatch.setattr(object_recovery, "sync_object", sync)
    held = Held(left_behind)
    threads = [threading.Thread(target=held.recovery.recover, args=(ids[0].key,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    held.recovery.close()
    assert len(synced) == 1


class FailingFor(Files):
    """Files of which one cannot be written, for as long as `error` is set."""

    def __init__(self, key: bytes, error: OSError) -> None:
        self.key = key
        self.error: OSError | None = error

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if self.error is not None and self.key.hex() in os.readlink(f"/proc/self/fd/{fd}"):
            raise self.error
        return super().write(fd, data, offset)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageFullError), (errno.EIO, StorageError)], ids=["no room", "bad disk"]
)
def test_an_object_that_cannot_be_recovered_is_refused_alone_and_tried_again(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId], number: int, kind: type[StorageError]
) -> None:
    files = FailingFor(ids[2].key, OSError(number, os.strerror(number)))
    store = make_store(left_behind, files=files)
    store.wait_until_recovered()
    assert store.waiting_for_recovery == 1
    with pytest.raises(kind, match=rf"recover.* {ids[2].key.hex()[:2]}|{ids[2].key.hex()}"):
        store.open(ids[2]).get("turn")
    assert [store.open(object_id).get("turn") for object_id in ids if object_id != ids[2]] == [b"5"] * (len(ids) - 1)
    assert in_use(left_behind) >= 2  # what it needs stays
    files.error = None
    assert store.open(ids[2]).get("turn") == b"5"
    assert in_use(left_behind) == 1


def test_records_that_cannot_be_unpacked_put_their_object_in_quarantine(
    left_behind: Path, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry whose bytes are those that were written, and which holds no batch: a fault of ours, not of the disk."""
    held = Held(left_behind)
    bad = held.survey.objects[ids[1].key].places[3]
    place, read = held.survey.places[bad], SegmentReader.read

    def spoilt(reader: SegmentReader, entry: Entry) -> bytes:
        return (
            b"nonsense"
            if (reader.path, entry.offset) == (place.reader.path, place.entry.offset)
            else read(reader, entry)
        )

    monkeypatch.setattr(SegmentReader, "read", spoilt)
    concerned = {content.key for content in held.survey.contents_of(bad)}
    held.recovery.recover_all()
    held.recovery.close()
    assert {case.key for case in Quarantine(left_behind).cases()} == {key.hex() for key in concerned}
    assert sorted(held.let_go) == sorted(object_id.key for object_id in ids)


# Commits whose pages stand in a side file.


@pytest.fixture
def with_large(make_store: MakeStore, ids: list[ObjectId], tmp_path: Path) -> Path:
    """A directory after a crash: of two objects only the journal has anything, of one of them its last commit is large
    and in one entry with the other's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFiles, "bring_up_to_date", lambda self, keys: None)
        store = make_store()
        for object_id in ids[:2]:
            storage = store.open(object_id)
            storage.put("turn", b"before")
            storage.commit(lambda error: None)
        store.checkpoint()
        patch.setattr(store._log, "_soon", lambda function: None)
        side_files = SideFiles(tmp_path / "data" / "hosts" / "0")
        image = store.path(ids[0]).read_bytes().replace(b"before", b"after!") + bytes(PART_PAGES * PAGE_BYTES)
        size = len(image) // PAGE_BYTES
        part = PART_PAGES * PAGE_BYTES
        images = side_files.write(ids[0].key, 1 << 62, size, lambda number: image[number * part : (number + 1) * part])
        record = Record(
            key=ids[0].key,
            binding="ROOM",
            commit=1 << 62,
            previous=0,
            epoch=store._log.epoch,
            time_ms=1,
            size_pages=size,
            images=images,
            aside=True,
        )
        store._log.append(record, lambda error: None)
        storage = store.open(ids[1])
        storage.put("turn", b"after!")
        storage.commit(lambda error: None)
        store._log.flush()
        shutil.copytree(tmp_path / "data", tmp_path / "crashed", ignore=shutil.ignore_patterns("lock"))
    return tmp_path / "crashed"


def test_a_commit_in_a_side_file_is_recovered_like_any_other(
    with_large: Path, make_store: MakeStore, ids: list[ObjectId]
) -> None:
    store = make_store(with_large)
    store.wait_until_recovered()
    assert [store.open(object_id).get("turn") for object_id in ids[:2]] == [b"after!"] * 2
    assert store.path(ids[0]).stat().st_size > PART_PAGES * PAGE_BYTES
    with store.path(ids[0]).open("rb") as file:
        assert damaged_pages(store.path(ids[0]), file.fileno()) == []


@pytest.mark.parametrize("damage", ["missing", "rotten at its end"])
def test_a_side_file_that_cannot_be_read_is_the_trouble_of_its_object_alone(
    with_large: Path, make_store: MakeStore, ids: list[ObjectId], damage: str
) -> None:
    path = SideFiles(with_large / "hosts" / "0").path(ids[0].key, 1 << 62)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    before = DataDirectory(with_large).object_path("ROOM", ids[0].key).read_bytes()
    store = make_store(with_large)
    store.wait_until_recovered()
    assert store.open(ids[1]).get("turn") == b"after!"
    with pytest.raises(StorageCorruptError, match=f"object {ids[0].key.hex()} is in quarantine"):
        store.open(ids[0]).get("turn")
    assert [case.lost for case in Quarantine(with_large).cases()] == [[1 << 62]]
    assert store.path(ids[0]).read_bytes() == before


def test_a_crash_in_the_middle_of_it_is_recovered_like_any_other(left_behind: Path, ids: list[ObjectId]) -> None:
    chance = random.Random(11)
    for life in range(6):
        written = chance.randrange(20)

        class Dying(Files):
            def write(self, fd: int, data: bytes | memoryview, offset: int, left: list[int] = [written]) -> int:  # noqa: B006
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.EIO, "the process died")
                return super().write(fd, data[: chance.randrange(1, len(data) + 1)], offset)

        held = Held(left_behind, Dying())
        with pytest.raises(StorageError):
            held.recovery.recover_all()
        held.recovery.close()
        assert life >= 0
    store = HostStore(left_behind)
    assert [store.open(object_id).get("turn") for object_id in ids] == [b"5"] * len(ids)
    store.close()


async def test_an_object_is_prepared_beside_the_loop(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ObjectRecovery, "start", lambda self: None)
    store = make_store(left_behind)
    told: asyncio.Queue[StorageError | None] = asyncio.Queue()
    threads: list[Any] = []
    recover = ObjectRecovery.recover

    def noted(self: ObjectRecovery, key: bytes) -> None:
        threads.append(threading.current_thread())
        recover(self, key)

    monkeypatch.setattr(ObjectRecovery, "recover", noted)
    assert not store.prepare(ids[0], told.put_nowait)
    assert not store.prepare(ids[0], told.put_nowait)
    with pytest.raises(StorageError, match="being recovered or restored"):
        store.open(ids[0]).get("turn")
    assert [await told.get(), await told.get()] == [None, None]
    assert threads != [threading.main_thread()]
    assert store.open(ids[0]).get("turn") == b"5"
    assert store.prepare(ids[0], told.put_nowait)
    assert told.empty()


async def test_whoever_waits_hears_what_is_wrong(left_behind: Path, make_store: MakeStore, ids: list[ObjectId]) -> None:
    files = FailingFor(ids[0].key, OSError(errno.ENOSPC, "no space"))
    store = make_store(left_behind, files=files)
    told: asyncio.Queue[StorageError | None] = asyncio.Queue()
    assert not store.prepare(ids[0], told.put_nowait)
    assert type(await told.get()) is StorageFullError
    files.error = None
    assert not store.prepare(ids[0], told.put_nowait)
    assert await told.get() is None


def test_objects_in_quarantine_are_refused_until_it_is_lifted(
    left_behind: Path, make_store: MakeStore, ids: list[ObjectId]
) -> None:
    store = make_store(left_behind)
    store.wait_until_recovered()
    quarantine = Quarantine(left_behind)
    quarantine.put(Case(key=ids[0].key.hex(), binding="ROOM", reason="a test said so"))
    with pytest.raises(StorageCorruptError, match=f"{ids[0].key.hex()} is in quarantine: a test said so"):
        store.open(ids[0]).get("turn")
    quarantine.lift(ids[0].key)
    assert store.open(ids[0]).get("turn") == b"5"


# Beside, by the background writer.


@pytest.fixture
def beside(left_behind: Path, background: Any, monkeypatch: pytest.MonkeyPatch) -> Held:
    """The recovery of what a crash left, with a background writer that is worth it from the first object on."""
    monkeypatch.setattr(object_recovery, "BESIDE_FROM", 1)
    held = Held(left_behind)
    held.recovery._background = background
    return held


def turns(data: Path, make_store: MakeStore, ids: list[ObjectId]) -> list[bytes | None]:
    store = make_store(data)
    return [store.open(object_id).get("turn") for object_id in ids]


def test_the_background_writer_recovers_all_where_there_are_many(
    beside: Held, left_behind: Path, ids: list[ObjectId], make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_recovery, "_AT_A_TIME", 3)
    monkeypatch.setattr(ObjectRecovery, "recover", None)  # nothing is left for this process
    monkeypatch.setattr(ObjectRecovery, "_sweep_here", None)
    beside.recovery.recover_all()
    beside.recovery.close()
    assert beside.recovery.done
    assert sorted(beside.let_go) == sorted(object_id.key for object_id in ids)
    monkeypatch.undo()
    assert turns(left_behind, make_store, ids) == [b"5"] * len(ids)


def test_few_objects_are_not_worth_another_process(beside: Held, background: Any, ids: list[ObjectId]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_recovery, "BESIDE_FROM", len(ids) + 1)
        beside.recovery.recover_all()
    beside.recovery.close()
    assert beside.recovery.done
    assert background.errands == []


@pytest.mark.parametrize("failure", [BackgroundLostError("gone"), OSError(errno.EIO, "broken")])
def test_without_the_background_writer_the_host_recovers_all(
    beside: Held, background: Any, left_behind: Path, ids: list[ObjectId], make_store: MakeStore, failure: Exception
) -> None:
    background.refuse = failure
    beside.recovery.recover_all()
    beside.recovery.close()
    assert beside.recovery.done
    assert turns(left_behind, make_store, ids) == [b"5"] * len(ids)


def test_a_background_writer_that_is_lost_in_between_leaves_the_rest_to_the_host(
    beside: Held,
    background: Any,
    left_behind: Path,
    ids: list[ObjectId],
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(object_recovery, "_AT_A_TIME", 2)
    ask = background.ask

    def lost_later(errand: Errand) -> Done:
        if len(background.errands) == 3:
            background.lose = BackgroundLostError("gone")  # it was done, and nobody hears of it
        done: Done = ask(errand)
        return done

    monkeypatch.setattr(background, "ask", lost_later)
    beside.recovery.recover_all()
    beside.recovery.close()
    assert beside.recovery.done
    assert turns(left_behind, make_store, ids) == [b"5"] * len(ids)


def test_whoever_wants_an_object_that_another_process_has_waits_for_it(
    beside: Held, background: Any, ids: list[ObjectId], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_go_on = threading.Event(), threading.Event()
    ask = background.ask

    def held(errand: Errand) -> Done:
        if isinstance(errand, Recover):
            asked.set()
            may_go_on.wait()
        done: Done = ask(errand)
        return done

    monkeypatch.setattr(background, "ask", held)
    sweep = threading.Thread(target=beside.recovery.recover_all)
    sweep.start()
    asked.wait()
    wanted = threading.Thread(target=beside.recovery.recover, args=(ids[0].key,))
    wanted.start()
    assert ids[0].key not in beside.let_go
    may_go_on.set()
    wanted.join()
    assert ids[0].key in beside.let_go
    sweep.join()
    beside.recovery.close()
    assert sorted(beside.let_go) == sorted(object_id.key for object_id in ids)


def test_what_another_process_leaves_undone_is_recovered_here(
    beside: Held, background: Any, left_behind: Path, ids: list[ObjectId], make_store: MakeStore
) -> None:
    background.work._do = lambda errand, body: Done()
    beside.recovery.recover_all()
    beside.recovery.close()
    assert beside.recovery.done
    assert turns(left_behind, make_store, ids) == [b"5"] * len(ids)


def test_no_further_object_is_given_away_once_the_store_closes(
    beside: Held, background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.recovery.close()
    beside.recovery._run_sweep()
    assert not [errand for errand in background.errands if isinstance(errand, Recover)]
    assert beside.let_go == []
