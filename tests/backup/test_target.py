"""What holds for every target: a directory, and a bucket of an S3-compatible server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.backup.buckets import Bucket

from roost.backup.s3_target import S3Target
from roost.backup.target import (
    DirectoryTarget,
    MissingError,
    Target,
    TargetUnavailableError,
    open_target,
    read_bytes,
    write_bytes,
)
from roost.errors import BackupError, ConfigurationError


@pytest.fixture(params=["directory", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if request.param == "directory":
        yield DirectoryTarget(tmp_path / "target")
    else:
        yield request.getfixturevalue("bucket").target("some/prefix")


def give_up(target: Target, name: str, data: bytes) -> None:
    """Write something, and raise before its end."""

    def write() -> None:
        with target.write(name) as sink:
            sink.write(data)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()


def test_what_was_written_is_read_back(target: Target) -> None:
    with target.write("a/b") as sink:
        sink.write(b"one ")
        sink.write(b"two")
    assert read_bytes(target, "a/b") == b"one two"
    assert read_bytes(target, "a/b", 4) == b"two"
    assert read_bytes(target, "a/b", 2, 3) == b"e t"
    assert read_bytes(target, "a/b", 2, 0) == b""
    assert target.size("a/b") == 7


def test_what_is_larger_than_a_part_is_read_back(target: Target) -> None:
    data = os.urandom(1024 * 1024) * 40
    with target.write("large") as sink:
        for start in range(0, len(data), 700_000):
            sink.write(data[start : start + 700_000])
    assert read_bytes(target, "large") == data
    assert target.size("large") == len(data)


def test_what_is_empty_is_there(target: Target) -> None:
    write_bytes(target, "series/x", b"")
    assert read_bytes(target, "series/x") == b""
    assert list(target.names("series/")) == ["series/x"]


def test_writing_again_replaces(target: Target) -> None:
    write_bytes(target, "a", b"1")
    write_bytes(target, "a", b"2")
    assert read_bytes(target, "a") == b"2"


def test_what_was_not_written_to_its_end_is_not_there(target: Target) -> None:
    give_up(target, "a/b", b"x" * 40_000_000)
    assert list(target.names("a/")) == []
    with pytest.raises(MissingError):
        read_bytes(target, "a/b")


def test_what_is_replaced_stays_until_the_new_is_whole(target: Target) -> None:
    write_bytes(target, "a", b"old")
    give_up(target, "a", b"new")
    assert read_bytes(target, "a") == b"old"


def test_what_is_not_there_is_an_error_of_its_own(target: Target) -> None:
    for what in (lambda: read_bytes(target, "x"), lambda: target.size("x")):
        with pytest.raises(MissingError, match="holds no x"):
            what()


def test_names_come_in_order_and_from_below_the_prefix_alone(target: Target) -> None:
    for name in ("log/000/b", "log/000/a", "log/0001/c", "logs/x", "packs/z", "log/001/a"):
        write_bytes(target, name, b"")
    assert list(target.names("log/")) == ["log/000/a", "log/000/b", "log/0001/c", "log/001/a"]
    assert list(target.names("none/")) == []


def test_many_names_are_listed(target: Target) -> None:
    for number in range(120):
        write_bytes(target, f"many/{number:04d}", b"")
    assert list(target.names("many/")) == [f"many/{number:04d}" for number in range(120)]


def test_what_is_removed_is_gone_and_may_be_removed_again(target: Target) -> None:
    for name in ("a/1", "a/2", "a/3"):
        write_bytes(target, name, b"")
    target.remove(["a/1", "a/3", "a/never"])
    target.remove(["a/1"])
    target.remove([])
    assert list(target.names("a/")) == ["a/2"]


# -- directories -------------------------------------------------------------------------------------------------------


def test_files_in_a_directory_are_for_nobody_else(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path / "target")
    write_bytes(target, "a/b", b"")
    assert (tmp_path / "target" / "a" / "b").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "target" / "a").stat().st_mode & 0o777 == 0o700


def test_what_a_killed_writer_left_behind_is_not_listed(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path)
    block = target.write("a/b")
    block.__enter__().write(b"half")
    assert [path.name.startswith(".unfinished-") for path in (tmp_path / "a").iterdir()] == [True]
    assert list(target.names("a/")) == []
    block.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="cannot be used") as raised:
        write_bytes(DirectoryTarget(tmp_path / "file"), "a", b"")
    assert not raised.value.retryable


def test_a_full_disk_is_told_and_may_be_otherwise_later() -> None:
    target = DirectoryTarget(Path("/dev"))
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(TargetUnavailableError, match="No space left") as raised, target._translated("x"):
        os.write(full, b"x")
    os.close(full)
    assert raised.value.retryable


def test_errors_of_whoever_writes_are_not_the_targets(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), DirectoryTarget(tmp_path).write("a"):
        os.open(tmp_path, os.O_WRONLY)


# -- which target is meant ---------------------------------------------------------------------------------------------


def test_a_target_is_a_directory_or_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    directory = open_target("copies")
    assert isinstance(directory, DirectoryTarget)
    assert directory.path == tmp_path / "copies"
    assert isinstance(open_target("s3://bucket/prefix"), S3Target)
    with pytest.raises(ConfigurationError, match="a directory or s3://bucket/prefix, got 'gs://bucket'"):
        open_target("gs://bucket")
    with pytest.raises(ConfigurationError, match="names no bucket"):
        open_target("s3:///prefix")


def test_two_prefixes_of_a_bucket_are_two_targets(bucket: Bucket) -> None:
    write_bytes(bucket.target("one"), "a", b"1")
    assert list(bucket.target("two").names("")) == []
    assert list(bucket.target("one").names("")) == ["a"]
