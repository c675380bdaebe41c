"""Restores that a host finds when it starts, or is ordered to make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.errors import StorageError
from roost.history.rewinder import HistoryRewinder
from roost.ids import IdSpace, ObjectId
from roost.node.restores import begin_restore, begin_restores
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery.restores import Restores
from roost.storage.store import HostStore

SPACE = IdSpace("ROOM", "ROOM")
LOBBY, OTHER = SPACE.from_name("lobby"), SPACE.from_name("other")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HostStore]:
    rewinder = HistoryRewinder(tmp_path)
    store = HostStore(tmp_path, rewinder=rewinder)
    yield store
    rewinder.close()
    store.close()


def put(store: HostStore, object_id: ObjectId, value: bytes) -> int:
    storage = store.open(object_id)
    storage.put("x", value)
    number = storage.commit(lambda error: None)
    storage.close()
    store.settle()
    return number


def value(store: HostStore, object_id: ObjectId) -> bytes | None:
    storage: ObjectStorage = store.open(object_id)
    found = storage.get("x")
    storage.close()
    return found


def test_a_host_begins_those_of_its_own_objects(store: HostStore, tmp_path: Path) -> None:
    for one in (LOBBY, OTHER):
        old = put(store, one, b"old")
        put(store, one, b"new")
        store.plan_restore(one, old)
    begin_restores(store, tmp_path, lambda key: key == LOBBY.key)
    store.settle()
    assert Restores(tmp_path).all() == [OTHER.key.hex()]
    assert value(store, LOBBY) == b"old"


def test_where_none_is_planned_nothing_happens(store: HostStore, tmp_path: Path) -> None:
    put(store, LOBBY, b"new")
    begin_restores(store, tmp_path, lambda key: True)
    begin_restore(store, LOBBY)
    store.settle()
    assert value(store, LOBBY) == b"new"


def test_a_plan_that_cannot_be_read_is_reported_and_stops_no_other(
    store: HostStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = put(store, LOBBY, b"old")
    put(store, LOBBY, b"new")
    store.plan_restore(LOBBY, old)
    (tmp_path / "restores" / ("00" * 32)).write_text("{")
    begin_restores(store, tmp_path, lambda key: True)
    store.settle()
    assert "cannot be read" in caplog.text
    assert value(store, LOBBY) == b"old"


def test_one_that_fails_is_reported_and_stays_planned(
    store: HostStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put(store, LOBBY, b"old")
    store.plan_restore(LOBBY, old)

    def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(HistoryRewinder, "state_at", fail)
    begin_restore(store, LOBBY)
    store.settle()
    assert "it is tried again when it next begins: the disk is full" in caplog.text
    assert Restores(tmp_path).all() == [LOBBY.key.hex()]
