"""Directories of the format before this one: all that was confirmed in them is there afterwards."""

# The fixtures were written by the version of roost that had format 1: two hosts, six rooms each with twelve turns; one
# was stopped, the other killed after a thirteenth turn of room 0-0.

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from roost import codec
from roost.errors import DataDirectoryError, StorageError
from roost.ids import IdSpace
from roost.storage.journal.keeper import NothingKept
from roost.storage.journal.segment import SegmentReader
from roost.storage.journal.segments import segment_paths
from roost.storage.layout import DataDirectory
from roost.storage.store import HostStore

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPACE = IdSpace("ROOM", "ROOM")
MakeStore = Callable[..., HostStore]


class Historian(NothingKept):
    """Notes what was handed over at the upgrade."""

    def __init__(self) -> None:
        self.adopted: list[int] = []
        self.refuses: Exception | None = None

    def adopt(self, data: Path) -> None:
        assert (data / "format").read_text() == "1\n", "the number is written when all is done"
        if self.refuses is not None:
            raise self.refuses
        self.adopted.append(len(list((data / "objects").rglob("*.sqlite"))))


@pytest.fixture(params=["clean", "killed"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(FIXTURES / f"format-1-{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path / "data", filter="tar")
    return tmp_path / "data"


def contents(stores: list[HostStore]) -> dict[str, tuple[int, int]]:
    found = {}
    for slot, store in enumerate(stores):
        for number in range(6):
            room = store.open(SPACE.from_name(f"room {slot}-{number}"))
            turn, twin = room.get("turn"), room.get("twin")
            assert turn is not None
            assert twin is not None
            found[f"{slot}-{number}"] = (codec.decode(turn), codec.decode(twin))
        assert store.open(SPACE.from_name(f"gone {slot}")).get("a") is None
    return found


def was_killed(data: Path) -> bool:
    readers = [SegmentReader(path) for slot in (data / "hosts").iterdir() for path in segment_paths(slot)]
    used = any(reader.sequence and list(reader.entries()) for reader in readers)
    for reader in readers:
        reader.close()
    return used


def test_everything_that_was_confirmed_is_there(data: Path, make_store: MakeStore) -> None:
    late = (12, 12) if was_killed(data) else (11, 11)
    keeper = Historian()
    files = len(list((data / "objects").rglob("*.sqlite")))
    stores = [make_store(data, slot, keeper=keeper) for slot in range(2)]
    assert not list((data / "objects").rglob("*-wal"))
    states = {f"{slot}-{number}": (11, 11) for slot in range(2) for number in range(6)}
    assert contents(stores) == states | {"0-0": late}
    assert keeper.adopted == [files]
    assert (data / "format").read_text() == "2\n"


def test_it_can_be_written_to_and_opened_again(data: Path, make_store: MakeStore) -> None:
    store = make_store(data, 0)
    room = store.open(SPACE.from_name("room 0-1"))
    room.put("turn", codec.encode(100))
    room.commit(lambda error: None)
    store.close()
    raw = make_store(data, 0).open(SPACE.from_name("room 0-1")).get("turn")
    assert raw is not None
    assert codec.decode(raw) == 100


def test_what_others_could_read_is_closed_to_them(data: Path, make_store: MakeStore) -> None:
    os.chmod(data / "objects" / "ROOM", 0o755)
    make_store(data, 0).close()
    for part in ("hosts", "objects"):
        for path in (data / part).rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_upgrade_that_fails_is_done_again(data: Path, make_store: MakeStore) -> None:
    keeper = Historian()
    keeper.refuses = StorageError("no room for history")
    with pytest.raises(StorageError, match="no room for history"):
        make_store(data, 0, keeper=keeper)
    assert (data / "format").read_text() == "1\n"
    keeper.refuses = None
    make_store(data, 0, keeper=keeper)
    assert len(keeper.adopted) == 1


def test_it_is_not_upgraded_while_a_host_of_the_older_version_runs(data: Path, make_store: MakeStore) -> None:
    other = DataDirectory(data, upgrade=lambda layout: None).slot(1)
    with pytest.raises(DataDirectoryError, match="in use by another roost: host 1"):
        make_store(data, 0)
    other.release()


def test_one_process_upgrades_and_the_others_find_it_done(data: Path, make_store: MakeStore) -> None:
    keeper = Historian()

    def meanwhile(layout: DataDirectory) -> None:
        make_store(data, 0, keeper=keeper)

    class Slow(Historian):
        def adopt(self, data: Path) -> None:
            raise AssertionError("it was done by the other one")

    layout = DataDirectory(data, meanwhile)
    assert layout.format == "2"
    make_store(data, 1, keeper=Slow())
    assert len(keeper.adopted) == 1


def test_without_an_upgrade_an_older_directory_is_refused(data: Path) -> None:
    with pytest.raises(DataDirectoryError, match=r"storage format 1; .* which upgrades it"):
        DataDirectory(data)
