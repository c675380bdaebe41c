from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from roost.errors import DataDirectoryError
from roost.history.object_history import ObjectHistory
from roost.ids import IdSpace
from roost.node.recovery import recover
from roost.storage.store import HostStore

WRITE_AND_CRASH = """
import os, sys
from roost.ids import IdSpace
from roost.storage.store import HostStore
store = HostStore(sys.argv[1], 1)
storage = store.open(IdSpace("ROOM", "ROOM").from_name("x"))
storage.put("key", b"value")
storage.commit(lambda error: None)
store.settle()
os._exit(9)
"""


def test_what_one_host_wrote_before_a_crash_another_finds_once_all_is_recovered(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", WRITE_AND_CRASH, tmp_path], check=False).returncode == 9
    recover(tmp_path, 1)
    reading = HostStore(tmp_path, 0)
    assert reading.open(IdSpace("ROOM", "ROOM").from_name("x")).get("key") == b"value"
    reading.close()


def test_a_host_that_runs_is_not_disturbed(tmp_path: Path) -> None:
    store = HostStore(tmp_path, 0)
    with pytest.raises(DataDirectoryError, match="in use"):
        recover(tmp_path, 1)
    store.close()


@pytest.mark.parametrize("kind", ["clean", "killed"])
def test_a_directory_of_an_older_version_is_upgraded_and_its_history_begins(tmp_path: Path, kind: str) -> None:
    fixture = Path(__file__).parents[1] / "storage" / "fixtures" / f"format-1-{kind}.tar.xz"
    with tarfile.open(fixture) as archive:
        archive.extractall(tmp_path, filter="tar")
    recover(tmp_path, 1)
    room = IdSpace("ROOM", "ROOM").from_name("room 1-0")
    store = HostStore(tmp_path, 0)
    assert store.open(room).get("turn") is not None
    store.close()
    assert ObjectHistory(tmp_path, room).versions()
