"""Nobody but the user can read anything in a data directory, whatever the umask is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roost.history.keeper import HistoryKeeper
from roost.history.rewinder import HistoryRewinder
from roost.ids import IdSpace
from roost.limits import Limits
from roost.node.recovery import recover
from roost.storage.alarms import alarms
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.store import HostStore

MakeStore = Callable[..., HostStore]
SMALL = Limits(journal_segment_bytes=64 * 1024, checkpoint_bytes=20_000)


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def check(data: Path) -> int:
    checked = 0
    for path in [data, *data.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path} has {mode:o}"
        checked += 1
    return checked


def write(store: HostStore, space: IdSpace) -> None:
    for number in range(5):
        storage = store.open(space.from_name(f"room {number}"))
        for turn in range(12):
            storage.put("value", os.urandom(3000) + bytes([turn]))
            storage.commit(lambda error: None)
            store.settle()
        storage.write(lambda connection: alarms.put(connection, "", 1_900_000_000_000), confirmed=True)
        storage.alarm_changed()
        storage.commit(lambda error: None)
        store.settle()


def test_all_that_a_host_makes_is_its_users_own(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = make_store(data, limits=SMALL, keeper=HistoryKeeper(data, SMALL), rewinder=HistoryRewinder(data))
    write(store, space)
    store.checkpoint()
    while not list((data / "history").rglob("*.archive")):
        store.settle()
    room = space.from_name("room 1")
    store.plan_restore(room, 0)
    assert check(data) > 20
    while not store.prepare(room, lambda error: None):
        store.settle()
    assert store.open(room).get("value") is None
    Quarantine(data).put(Case(key=space.from_name("room 2").key.hex(), binding="ROOM", reason="a test said so"))
    check(data)
    store.close()
    check(data)


def test_all_that_recovery_makes_is_its_users_own(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> None:
    store = make_store(limits=Limits(checkpoint_bytes=1 << 30))
    write(store, space)
    shutil.copytree(tmp_path / "data", tmp_path / "a", ignore=shutil.ignore_patterns("lock", "objects"))
    shutil.copytree(tmp_path / "data", tmp_path / "b", ignore=shutil.ignore_patterns("lock", "objects"))
    recovered = make_store(tmp_path / "a")
    recovered.wait_until_recovered()
    check(tmp_path / "a")
    recover(tmp_path / "b", 1)
    assert list((tmp_path / "b" / "objects").rglob("*.sqlite"))
    check(tmp_path / "b")
