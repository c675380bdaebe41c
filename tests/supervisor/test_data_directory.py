from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from roost.errors import DataDirectoryError
from roost.supervisor.data_directory import claim, find_sockets


def test_it_is_made_where_it_is_not_there_and_kept_out_of_version_control(tmp_path: Path) -> None:
    with contextlib.closing(claim(tmp_path / "a" / "b")):
        assert (tmp_path / "a" / "b" / ".gitignore").read_text().endswith("\n*\n")


def test_a_second_roost_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with (
        contextlib.closing(claim(tmp_path)),
        pytest.raises(DataDirectoryError, match=rf"in use by another roost \(process {os.getpid()}\); .*--data"),
    ):
        claim(tmp_path)
    claim(tmp_path).close()


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal; from roost.supervisor.data_directory import claim;"
        "claim(sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, env=environ)
    assert killed.returncode == -9
    claim(tmp_path).close()


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match=r"the data directory cannot be used: Not a directory \(.*file"):
        claim(tmp_path / "file" / "data")
    with pytest.raises(DataDirectoryError, match="the data directory cannot be used: File exists"):
        claim(tmp_path / "file")


def test_a_full_disk_is_a_clear_error_and_leaves_the_directory_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", refuse)
        with pytest.raises(DataDirectoryError, match=r"No space left on device \(.*lock\); make room on its disk"):
            claim(tmp_path)
    claim(tmp_path).close()


def test_it_remembers_with_how_many_hosts_it_was_written_and_recovers_for_another_number(tmp_path: Path) -> None:
    recovered: list[tuple[Path, int]] = []

    def recover(data: Path, hosts: int) -> None:
        recovered.append((data, hosts))

    with contextlib.closing(claim(tmp_path)) as directory:
        assert directory.hosts_before() is None
        directory.prepare_for(3, recover)
    with contextlib.closing(claim(tmp_path)) as directory:
        assert directory.hosts_before() == 3
        directory.prepare_for(3, recover)
        assert recovered == []
        directory.prepare_for(2, recover)
        assert recovered == [(tmp_path, 2)]
        assert directory.hosts_before() == 2
        (tmp_path / "processes.json").write_text("{")
        with pytest.raises(DataDirectoryError, match=r"processes\.json does not say how many hosts"):
            directory.hosts_before()


def test_sockets_are_found_by_whoever_knows_the_directory(tmp_path: Path) -> None:
    short = Path(f"/tmp/roost-test-{os.getpid()}")
    with contextlib.closing(claim(short)) as directory:
        sockets = directory.make_sockets()
        assert sockets.directory == str(short / "run")
        assert sockets.host(3) == str(short / "run" / "host-3.sock")
        assert find_sockets(short) == sockets
        (short / "run" / "left-over").write_text("")
        directory.make_sockets()
        assert not (short / "run" / "left-over").exists()
    assert not (short / "run").exists()
    for left in (".gitignore", "lock"):
        (short / left).unlink()
    short.rmdir()


def test_a_long_path_has_its_sockets_elsewhere_and_they_are_found_all_the_same(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    with contextlib.closing(claim(long)) as directory:
        sockets = directory.make_sockets()
        assert len(sockets.host(255)) <= 100
        assert find_sockets(long) == sockets
        assert Path(sockets.directory).stat().st_mode & 0o777 == 0o700
    assert not Path(sockets.directory).exists()


def test_hosts_that_a_killed_supervisor_left_are_seen(tmp_path: Path) -> None:
    with contextlib.closing(claim(tmp_path)) as directory:
        for number in (0, 1):
            (tmp_path / "hosts" / str(number)).mkdir(parents=True)
            (tmp_path / "hosts" / str(number) / "lock").write_text("")
        assert directory.busy_hosts() == []
        with open(tmp_path / "hosts" / "1" / "lock", "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert directory.busy_hosts() == [1]
        assert directory.busy_hosts() == []


def test_everything_is_for_nobody_but_the_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        directory = claim(tmp_path / "data")
        directory.make_sockets()
        directory.prepare_for(2, lambda path, hosts: None)
    finally:
        os.umask(before)
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    directory.close()
