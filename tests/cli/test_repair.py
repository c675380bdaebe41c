"""`roost repair` leads a damaged object back to its last commit, from its history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.cli.main import main
from roost.errors import StorageCorruptError, StorageError
from roost.history.folding import fold_all
from roost.history.rewinder import HistoryRewinder
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore
from roost.storage.sums import sums_path

LOBBY, HALL = (IdSpace("ROOM", "ROOM").from_name(name) for name in ("lobby", "hall"))
LIMITS = Limits(journal_segment_bytes=128 * 1024)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two objects with a history, whose host was stopped."""
    store = HostStore(tmp_path / "data", limits=LIMITS)
    for object_id in (LOBBY, HALL):
        storage = store.open(object_id)
        for number in range(5):
            storage.put("number", str(number).encode() * 3000)
            storage.commit(lambda error: None)
            store.settle()
    store.close()
    fold_all(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[HostStore]:
    rewinder = HistoryRewinder(data)
    store = HostStore(data, limits=LIMITS, rewinder=rewinder)
    yield store
    store.close()
    rewinder.close()


def file_of(data: Path, object_id: ObjectId) -> Path:
    return data / "objects" / "ROOM" / object_id.key.hex()[:2] / f"{object_id.key.hex()}.sqlite"


def damage(data: Path, at: int = 5000) -> None:
    with file_of(data, LOBBY).open("r+b") as file:
        file.seek(at)
        file.write(b"rot")


def begin(store: HostStore, object_id: ObjectId) -> None:
    """As the life of an object begins."""
    told: list[StorageError | None] = []
    if not store.prepare(object_id, told.append):
        for _ in range(100):
            store.settle()
            if told:
                break
        assert told == [None]


def repair(data: Path, *flags: str) -> int:
    return main(["repair", "ROOM:lobby", *flags, "--data", str(data)])


def test_a_damaged_object_is_rebuilt_as_it_was_after_its_last_commit(
    data: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(data)
    assert repair(data) == 0
    assert "goes back to what it held after" in capsys.readouterr().out
    store: HostStore = request.getfixturevalue("store")
    begin(store, LOBBY)
    assert store.open(LOBBY).get("number") == b"4" * 3000
    assert Quarantine(data).cases() == []
    assert b"rot" in (data / "quarantine" / f"{LOBBY.key.hex()}.damaged").read_bytes()


@pytest.mark.parametrize("at", [0, 66, 100, 4096, 9000])
def test_it_does_not_matter_where_the_file_is_damaged(data: Path, request: pytest.FixtureRequest, at: int) -> None:
    damage(data, at)
    assert repair(data) == 0
    store: HostStore = request.getfixturevalue("store")
    begin(store, LOBBY)
    assert store.open(LOBBY).get("number") == b"4" * 3000


def test_an_object_that_its_host_has_in_quarantine_is_mended_and_goes_on(data: Path, store: HostStore) -> None:
    damage(data)
    with pytest.raises(StorageCorruptError, match="roost repair"):
        store.open(LOBBY).get("number")
    assert store.open(HALL).get("number") == b"4" * 3000
    store.plan_restore(LOBBY, 2**62)  # as the host does when it is told to
    begin(store, LOBBY)
    storage = store.open(LOBBY)
    assert storage.get("number") == b"4" * 3000
    storage.put("more", b"goes on")
    storage.commit(lambda error: None)
    store.settle()


def test_what_is_not_damaged_is_left_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert repair(data) == 0
    assert "is not damaged" in capsys.readouterr().out
    assert main(["repair", "ROOM:nobody", "--data", str(data)]) == 0
    assert "ROOM:nobody never stored anything" in capsys.readouterr().out


def test_an_object_that_is_whole_after_all_leaves_the_quarantine(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Quarantine(data).put(Case(key=LOBBY.key.hex(), binding="ROOM", reason="a cable was loose"))
    assert repair(data) == 0
    assert "is served again" in capsys.readouterr().out
    assert Quarantine(data).cases() == []


def test_without_a_history_it_says_what_else_can_be_done(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for archive in (data / "history" / "archives").iterdir():
        archive.unlink()
    for segment in (data / "hosts" / "0").glob("journal-*"):
        segment.unlink()
    damage(data)
    assert repair(data) == 2
    assert "no history of it is kept" in capsys.readouterr().err
    assert list((data / "restores").iterdir()) == []


def test_what_sqlite_can_read_may_be_served_as_it_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Quarantine(data).put(Case(key=LOBBY.key.hex(), binding="ROOM", reason="page 3", lost=[7]))
    assert repair(data, "--as-it-is") == 0
    assert "is served as it is" in capsys.readouterr().out
    assert Quarantine(data).cases() == []
    assert not sums_path(file_of(data, LOBBY)).exists()


def test_what_sqlite_cannot_read_is_not_served(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(data, 0)
    Quarantine(data).put(Case(key=LOBBY.key.hex(), binding="ROOM", reason="page 1"))
    assert repair(data, "--as-it-is") == 2
    assert "cannot be served as it is" in capsys.readouterr().err
    assert len(Quarantine(data).cases()) == 1


def test_what_is_no_data_directory_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert repair(tmp_path) == 2
    assert "there is no data directory" in capsys.readouterr().err
