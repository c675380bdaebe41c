from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from roost.errors import StorageCorruptError, StorageError
from roost.ids import IdSpace
from roost.node.damage import BROKEN, end_when_broken, report_damage
from roost.observer import Observer
from roost.storage.store import HostStore


def test_a_damaged_object_is_a_named_happening(tmp_path: Path) -> None:
    lobby = IdSpace("ROOM", "ROOM").from_name("lobby")
    store = HostStore(tmp_path)
    storage = store.open(lobby)
    storage.put("key", b"value")
    storage.commit(lambda error: None)
    store.close()
    (file,) = (tmp_path / "objects").rglob("*.sqlite")
    with file.open("r+b") as raw:
        raw.seek(5000)
        raw.write(b"rot")
    heard: list[dict[str, Any]] = []
    observer = Observer()
    observer.subscribe("object.quarantined", lambda name, facts: heard.append(facts))
    store = HostStore(tmp_path)
    report_damage(store, observer)
    with pytest.raises(StorageCorruptError):
        store.open(lobby).get("key")
    store.close()
    assert heard[0]["id"] == lobby
    assert "page 2" in heard[0]["reason"]


async def test_a_host_whose_journal_is_broken_ends_so_that_another_can_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(os, "_exit", ended.set_result)
    store = HostStore(tmp_path)
    end_when_broken(store)
    store.on_broken(StorageError("the journal is broken: a test said so"))
    assert not ended.done(), "those who waited are told first"
    assert await ended == BROKEN
    assert "another takes its place" in caplog.text
    store.close()
