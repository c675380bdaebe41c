"""What the tests of backups share: data directories with hosts that commit, and targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.backup.buckets import CREDENTIALS, Bucket
from tests.backup.hosts import Host, MakeHost

from roost.backup.target import DirectoryTarget


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def target(tmp_path: Path) -> DirectoryTarget:
    return DirectoryTarget(tmp_path / "target")


@pytest.fixture
def make_host(data: Path) -> Iterator[MakeHost]:
    """Hosts in one directory; those still open at the end are closed."""
    opened: list[Host] = []

    def make(directory: Path | None = None, slot: int = 0, **options: object) -> Host:
        host = Host(directory or data, slot, **options)
        opened.append(host)
        return host

    yield make
    for host in opened:
        host.close()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket()
    yield bucket
    bucket.stop()
