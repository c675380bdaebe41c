from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roost.errors import StorageCorruptError
from roost.ids import IdSpace
from roost.node.damage import report_damage
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
