"""The background writer as a process: it ends with its host, and is small."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from roost.errors import DataDirectoryError
from roost.storage.background import child
from roost.storage.layout import DataDirectory

HOST = """
import os, signal, sys
from pathlib import Path
from roost.storage.background.background_writer import BackgroundWriter
from roost.storage.background.errands import WritePages
from roost.storage.layout import DataDirectory

lock = DataDirectory(sys.argv[1]).slot(0)
file = Path(sys.argv[1]) / "file.sqlite"
file.write_bytes(bytes(4096))
background = BackgroundWriter(lock.fd)
background.ask(WritePages(str(file), [1], 1, [], False), [b"p" * 4096])
print(background.pid, flush=True)
if sys.argv[2] == "stopped":
    os.kill(background.pid, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_host(data: Path, child_is: str) -> int:
    """A host that was killed with its background writer; that one's process."""
    died = subprocess.run([sys.executable, "-c", HOST, data, child_is], stdout=subprocess.PIPE, check=False)
    assert died.returncode == -signal.SIGKILL
    return int(died.stdout)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may have asked yet how it did."""
    seen = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, check=False).stdout
    return bool(seen) and not seen.startswith(b"Z")


def test_the_slot_of_a_host_that_was_killed_is_free_when_its_writer_has_ended(tmp_path: Path) -> None:
    pid = killed_host(tmp_path / "data", "running")
    DataDirectory(tmp_path / "data").slot(0).release()
    assert not runs(pid)


def test_nobody_has_the_slot_while_the_writer_of_the_last_host_may_still_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roost.storage.layout._ORPHAN_SECONDS", 0.05)
    pid = killed_host(tmp_path / "data", "stopped")
    layout = DataDirectory(tmp_path / "data")
    try:
        with pytest.raises(DataDirectoryError, match="in use by another roost"):
            layout.slot(0)
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.setattr("roost.storage.layout._ORPHAN_SECONDS", 10)
    layout.slot(0).release()


def test_only_what_writes_files_is_imported() -> None:
    code = "import sys, runpy; module = runpy.run_path(sys.argv[1]); module['_work'](); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-P", "-c", code, child.__file__], stdout=subprocess.PIPE, check=True)
    modules = set(ran.stdout.decode().split())
    assert "roost.storage.background.work" in modules
    assert not modules & {"asyncio", "uvloop", "picows", "roost.objects", "roost.host", "roost.gateway", "apsw"}
