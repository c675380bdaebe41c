"""Trimming: which archives go, and that nothing which interrupts it loses or tears anything."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history.conftest import page

from roost.history import base, trimming
from roost.history.archive import ArchiveWriter
from roost.history.base import Base, Based
from roost.history.folding import fold
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.history.trimming import Retention, expired, make_room, trim
from roost.ids import IdSpace, ObjectId
from roost.storage import writer
from roost.storage.journal.keeper import NothingKept
from roost.storage.journal.record import PAGE_BYTES, Record
from roost.storage.layout import DataDirectory
from roost.storage.store import HostStore

MakeRecord = Callable[..., Record]
A = b"a" * 32
MINUTE = 60_000
FOREVER = Retention(1e9, 1 << 60)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data")


def shelve(shelf: Shelf, sequence: int, *records: Record) -> Path:
    writer = ArchiveWriter(shelf.new(0, sequence), slot=0, sequence=sequence)
    for record in records:
        writer.add(record)
    writer.finish()
    return shelf.place(writer.path, 0, sequence)


def pages_of(shelf: Shelf) -> list[bytes]:
    with tempfile.TemporaryFile() as file:
        Base(shelf).copy("ROOM", A, file)
        file.seek(0)
        raw = file.read()
    return [raw[at : at + PAGE_BYTES] for at in range(0, len(raw), PAGE_BYTES)]


def test_what_is_older_than_the_retention_is_folded_into_the_base(shelf: Shelf, make_record: MakeRecord) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1, p2=1))
    young = shelve(shelf, 2, make_record(A, 2, time_ms=30 * MINUTE, size=2, p1=2))
    assert trim(shelf, Retention(3600, 1 << 60), 61 * MINUTE) == 1
    assert shelf.archives() == [young]
    assert Base(shelf).about("ROOM", A) == Based(1, 0, 2)
    assert pages_of(shelf) == [page(1), page(1)]
    assert (shelf.state().order, shelf.state().folding) == (1, "")


def test_more_bytes_than_allowed_make_the_oldest_go(shelf: Shelf, make_record: MakeRecord) -> None:
    paths = [shelve(shelf, n, make_record(A, n, time_ms=n, p1=n)) for n in (1, 2, 3)]
    two = sum(path.stat().st_size for path in paths[1:])
    assert trim(shelf, Retention(1e9, two), 60 * MINUTE) == 1
    assert shelf.archives() == paths[1:]


def test_what_is_younger_than_ten_minutes_stays_whatever_the_limits(shelf: Shelf, make_record: MakeRecord) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=MINUTE, p1=1))
    assert expired(shelf, Retention(0, 0), 11 * MINUTE) == []
    assert expired(shelf, Retention(0, 0), 11 * MINUTE + 1) == shelf.archives()


def test_nothing_goes_before_what_is_older(shelf: Shelf, make_record: MakeRecord) -> None:
    """The clock went back between the two."""
    shelve(shelf, 1, make_record(A, 1, time_ms=50 * MINUTE, p1=1))
    shelve(shelf, 2, make_record(A, 2, time_ms=MINUTE, p1=2))
    assert expired(shelf, Retention(1800, 1 << 60), 60 * MINUTE) == []


def test_nothing_goes_while_somebody_reads(shelf: Shelf, make_record: MakeRecord) -> None:
    path = shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1))
    with shelf.reading():
        assert trim(shelf, Retention(0, 0), 60 * MINUTE) == 0
        assert not make_room(shelf)
    assert shelf.archives() == [path]


def test_room_is_made_of_the_oldest_whatever_its_age(shelf: Shelf, make_record: MakeRecord) -> None:
    paths = [shelve(shelf, n, make_record(A, n, time_ms=n, p1=n)) for n in (1, 2)]
    assert make_room(shelf)
    assert shelf.archives() == paths[1:]
    assert make_room(shelf)
    assert not make_room(shelf)
    assert pages_of(shelf) == [page(2)]


@pytest.mark.parametrize("cut_at", range(8))
def test_trimming_that_was_cut_short_anywhere_is_done_again(
    shelf: Shelf, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cut_at: int
) -> None:
    shelve(shelf, 1, make_record(A, 1, time_ms=0, p1=1, p2=1))
    shelve(shelf, 2, make_record(A, 2, time_ms=1, size=2, p1=2), make_record(A, 3, time_ms=2, p3=3))
    steps = 0

    def cutting(function: Callable[..., object]) -> Callable[..., object]:
        def cut(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps > cut_at:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return cut

    with monkeypatch.context() as patched:
        for owner, name in ((Shelf, "write_state"), (Shelf, "remove"), (Base, "_fold_run"), (Base, "sync")):
            patched.setattr(owner, name, cutting(getattr(owner, name)))
        with pytest.raises(KeyboardInterrupt):
            trim(shelf, Retention(0, 0), 60 * MINUTE)
    copy = Shelf(tmp_path / "copy")
    shutil.copytree(shelf.data, copy.data)
    trim(copy, Retention(0, 0), 60 * MINUTE)
    assert copy.archives() == []
    assert pages_of(copy) == [page(2), page(1), page(3)]
    assert Base(copy).about("ROOM", A) == Based(3, 2, 3)
    assert copy.state().folding == ""


# Objects that were emptied.

SPACE = IdSpace("ROOM", "ROOM")
LOBBY, OTHER = SPACE.from_name("lobby"), SPACE.from_name("other")


class KeptAtOnce(NothingKept):
    """A keeper that makes archives before it returns."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        fold(self._data, segment)
        done(True)


def lived(shelf: Shelf, *lives: tuple[ObjectId, bytes]) -> None:
    """Each object stores something, or with no bytes empties itself; what they committed is in one archive then."""
    for _ in range(2):  # what one store leaves settled is kept when the next one begins
        store = HostStore(shelf.data, keeper=KeptAtOnce(shelf.data))
        for object_id, value in lives:
            storage = store.open(object_id)
            if value:
                storage.put("value", value)
            else:
                storage.delete_all()
            storage.commit(lambda error: None)
            store.settle()
            storage.close()
        store.close()
        lives = ()


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that was emptied goes as soon as it is closed, and not some milliseconds later."""
    monkeypatch.setattr(writer, "_SOON", 1 << 60)


@pytest.mark.usefixtures("forgotten")
def test_an_object_that_was_emptied_leaves_the_base_with_its_last_archive(shelf: Shelf) -> None:
    lived(shelf, (LOBBY, b"1"), (OTHER, b"1"))
    lived(shelf, (LOBBY, b""))
    assert not object_file(shelf, LOBBY).exists()
    assert make_room(shelf)
    assert Base(shelf).path("ROOM", LOBBY.key).exists(), "a later archive has it"
    assert make_room(shelf)
    assert not Base(shelf).path("ROOM", LOBBY.key).exists()
    assert Base(shelf).path("ROOM", OTHER.key).exists()
    history = ObjectHistory(shelf.data, LOBBY)
    assert (history.versions(), history.at_time(1 << 60).commit) == ([], 0)
    lived(shelf, (LOBBY, b"again"))
    assert len(history.versions()) == 1
    assert history.state_at(history.versions()[0].commit).size_pages > 0


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("why", ["it has a file again", "a live segment has it", "its alarms are left"])
def test_an_object_that_may_go_on_stays_in_the_base(shelf: Shelf, why: str) -> None:
    lived(shelf, (LOBBY, b"1"), (LOBBY, b""))
    path = object_file(shelf, LOBBY)
    assert not path.exists()
    store = None
    if why == "it has a file again":
        path.write_bytes(b"")
    elif why == "a live segment has it":
        store = HostStore(shelf.data, keeper=KeptAtOnce(shelf.data))
        storage = store.open(LOBBY)
        storage.put("value", b"2")
        storage.commit(lambda error: None)
        store.settle()
        assert not path.exists()  # the journal alone has it
    assert Base(shelf).about("ROOM", LOBBY.key) is None
    with pytest.MonkeyPatch.context() as patch:
        if why == "its alarms are left":
            patch.setattr(base, "stores_nothing", lambda connection: False)
        assert make_room(shelf)
    assert Base(shelf).path("ROOM", LOBBY.key).exists()
    if store is not None:
        store.close()


@pytest.mark.usefixtures("forgotten")
def test_what_is_gone_goes_also_where_its_archive_was_folded_and_not_yet_removed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(shelf, (LOBBY, b"1"), (LOBBY, b""))

    def killed(self: Base, binding: str, key: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Base, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            make_room(shelf)
    assert Base(shelf).path("ROOM", LOBBY.key).exists()
    trim(shelf, FOREVER, 0)
    assert not Base(shelf).path("ROOM", LOBBY.key).exists()
    assert shelf.archives() == []


def object_file(shelf: Shelf, object_id: ObjectId) -> Path:
    return DataDirectory(shelf.data).object_path(object_id.binding, object_id.key)


def test_retention_is_never_below_ten_minutes() -> None:
    assert Retention(0, 0).milliseconds == trimming.KEPT_SECONDS_MIN * 1000
    assert FOREVER.milliseconds == 1e12
