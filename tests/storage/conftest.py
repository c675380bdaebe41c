"""What the tests of storage share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.background.background_writer import BackgroundWriter
from roost.storage.background.errands import Done, Errand
from roost.storage.background.work import Body, Work
from roost.storage.journal.log import MemoryLog
from roost.storage.sql.sql import SQL
from roost.storage.store import HostStore


@pytest.fixture
def space() -> IdSpace:
    return IdSpace("ROOM", "secret")


@pytest.fixture
def room(space: IdSpace) -> ObjectId:
    return space.from_name("lobby")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., HostStore]]:
    """Opens stores in one directory, without a loop; those still open at the end are closed."""
    opened: list[HostStore] = []

    def make(directory: Path | None = None, slot: int = 0, **options: Any) -> HostStore:
        options.setdefault("limits", Limits(journal_segment_bytes=64 * 1024))
        store = HostStore(directory or tmp_path / "data", slot, **options)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., HostStore], log: MemoryLog) -> HostStore:
    """A store whose commits are finished by hand, in `log`."""
    return make_store(log=log)


class BackgroundHere(BackgroundWriter):
    """A background writer of this very process; what is set as `refuse` is raised before anything is done, and what is
    set as `lose` after it."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.work = Work()
        self.refuse: Exception | None = None
        self.lose: Exception | None = None
        self.errands: list[Errand] = []

    def ask(self, errand: Errand, body: Sequence[bytes | memoryview] = ()) -> Done:
        self.errands.append(errand)
        if self.refuse is not None:
            raise self.refuse
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sender = threading.Thread(target=theirs.sendall, args=(b"".join(body),))
            sender.start()
            done = self.work._do(errand, Body(ours, sum(map(len, body))))
            sender.join()
        if self.lose is not None:
            raise self.lose
        return done


@pytest.fixture
def background() -> BackgroundHere:
    return BackgroundHere()


@pytest.fixture
def sql(store: HostStore, room: ObjectId) -> SQL:
    """The SQL of one object whose turns end where the test commits."""
    return SQL(store.open(room))
