from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from roost.backup.restoring import restore
from roost.backup.target import DirectoryTarget
from roost.config import Backup, Settings
from roost.errors import ConfigurationError
from roost.ids import IdSpace
from roost.node import backup_process
from roost.node.backup_process import BackupProcess
from roost.storage.store import HostStore
from roost.supervisor.messages import Sockets, Start


def start(data: Path, target: str) -> Start:
    settings = Settings(app="app.py", data=str(data), backup=Backup(target=target, every=0.01))
    return Start("backup", 0, settings, Sockets(str(data)))


def test_a_target_of_no_known_kind_is_refused_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a directory or s3://bucket/prefix"):
        BackupProcess(start(tmp_path, "ftp://somewhere"))


async def test_it_ships_until_it_is_stopped_and_the_last_commit_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nices: list[int] = []
    monkeypatch.setattr(os, "nice", nices.append)
    room = IdSpace("ROOM", "ROOM").from_name("lobby")
    store = HostStore(tmp_path / "data")
    process = BackupProcess(start(tmp_path / "data", str(tmp_path / "target")))
    await process.serve()
    storage = store.open(room)
    storage.put("a", b"1")
    durable = asyncio.Event()
    storage.commit(lambda error: durable.set())
    await durable.wait()
    while not process.report().snapshot:  # noqa: ASYNC110 - it is a thread's
        await asyncio.sleep(0.001)
    assert process.report().target == str(tmp_path / "target")
    await process.stop(60)
    storage.close()
    store.close()
    assert nices == [backup_process.NICENESS]
    assert restore(DirectoryTarget(tmp_path / "target"), tmp_path / "restored").objects == 1


async def test_a_fault_that_nobody_foresaw_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    process = BackupProcess(start(tmp_path / "data", str(tmp_path / "target")))

    def fails() -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(process._service, "run", fails)
    monkeypatch.setattr(os, "_exit", ended.append)
    process._run()
    assert ended == [1]
