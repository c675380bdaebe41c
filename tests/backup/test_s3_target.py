"""What is particular to buckets: the library, credentials, and services that cannot be reached."""

from __future__ import annotations

import sys

import pytest
from tests.backup.buckets import Bucket

from roost.backup import s3_target
from roost.backup.s3_target import S3Target
from roost.backup.target import TargetUnavailableError, open_target, read_bytes, write_bytes
from roost.errors import BackupError, ConfigurationError


def test_without_the_library_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r'pip install "roost\[s3\]"'):
        open_target("s3://bucket")


def test_a_bucket_that_is_not_there_is_told(bucket: Bucket) -> None:
    with pytest.raises(BackupError, match="s3://nowhere"):
        write_bytes(S3Target("s3://nowhere", endpoint=bucket.endpoint), "a", b"")


def test_a_service_that_does_not_answer_is_told_in_time_and_may_be_there_later(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_target, "_RETRY", {"max_retries": 0})
    bucket.stop()
    target = bucket.target("")
    for what in (
        lambda: write_bytes(target, "a", b""),
        lambda: read_bytes(target, "a"),
        lambda: list(target.names("a/")),
        lambda: target.remove(["a"]),
        lambda: target.size("a"),
    ):
        with pytest.raises(TargetUnavailableError, match="cannot be reached") as raised:
            what()
        assert "\n" not in str(raised.value)
