"""The data directory: who may use it, and what it says when it cannot be used."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from roost.errors import DataDirectoryError, InvalidArgumentError
from roost.storage.layout import DataDirectory


def test_everything_is_for_nobody_but_the_user(tmp_path: Path) -> None:
    layout = DataDirectory(tmp_path / "a" / "data")
    layout.slot(0).release()
    for path in (tmp_path / "a" / "data").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_the_file_of_an_object_is_found_by_class_and_id(tmp_path: Path) -> None:
    path = DataDirectory(tmp_path).object_path("ROOM", bytes(range(32)))
    assert path == tmp_path / "objects" / "ROOM" / "00" / f"{bytes(range(32)).hex()}.sqlite"


@pytest.mark.parametrize("binding", ["", "..", "a/b", "a\0b", ".hidden", "x" * 200])
def test_a_binding_that_is_no_directory_name_is_refused(tmp_path: Path, binding: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be a directory's name"):
        DataDirectory(tmp_path).object_path(binding, bytes(32))


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    DataDirectory(tmp_path)
    assert (tmp_path / "format").read_text() == "2\n"
    (tmp_path / "format").write_text("3\n")
    with pytest.raises(DataDirectoryError, match="storage format '3'; this version of roost reads format 2"):
        DataDirectory(tmp_path)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirectoryError, match=r"data directory .* cannot be used: "):
        DataDirectory(tmp_path / "data")


def test_a_directory_that_is_not_writable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, mode: int = 0, parents: bool = False, exist_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)  # root, who may run this, is refused nothing
    with pytest.raises(DataDirectoryError, match=r"data directory .* cannot be used: Permission denied"):
        DataDirectory(tmp_path / "data")


def test_a_slot_is_owned_by_one_process_and_the_error_names_it(tmp_path: Path) -> None:
    layout = DataDirectory(tmp_path)
    lock = layout.slot(3)
    with pytest.raises(DataDirectoryError, match=f"in use by another roost: host 3 runs as process {os.getpid()}"):
        layout.slot(3)
    layout.slot(4).release()
    lock.release()
    layout.slot(3).release()
    assert layout.slots() == [3, 4]


def test_a_slot_is_free_once_its_process_died(tmp_path: Path) -> None:
    code = "import sys; from roost.storage.layout import DataDirectory; DataDirectory(sys.argv[1]).slot(0); print('up')"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True, stdout=subprocess.DEVNULL)
    DataDirectory(tmp_path).slot(0).release()
