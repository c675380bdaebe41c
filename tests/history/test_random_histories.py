"""Random histories: every bookmark within the retention leads back to exactly what was stored then."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.errors import HistoryError
from roost.history.base import Base
from roost.history.folding import fold
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.history.trimming import make_room
from roost.ids import IdSpace
from roost.limits import Limits
from roost.storage.recovery.rewinder import State
from roost.storage.store import HostStore

LIMITS = Limits(journal_segment_bytes=40 * 1024, checkpoint_bytes=40 * 1024, open_databases_max=2)
IDS = [IdSpace("ROOM", "ROOM").from_name(f"room {number}") for number in range(3)]
OPERATIONS = st.sampled_from(
    ["write"] * 8
    + ["delete", "delete all", "large", "checkpoint", "keep", "keep", "refuse", "trim", "restart", "crash", "restore"]
)
Contents = dict[str, bytes]


class HandKeeper:
    """Keeps when it is told to."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._waiting: list[tuple[Path, Callable[[bool], None]]] = []

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        self._waiting.append((segment, done))

    def adopt(self, data: Path) -> None:
        raise AssertionError("the directory is new")

    def close(self) -> None:
        self._waiting.clear()

    def work(self) -> None:
        waiting, self._waiting = self._waiting, []
        for segment, done in waiting:
            fold(self._data, segment)
            done(True)

    def refuse(self) -> None:
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            done(False)


class Rewinder:
    """Rewinds in this process."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def state_at(self, object_id: object, commit: int) -> State:
        return ObjectHistory(self._data, object_id).state_at(commit)  # type: ignore[arg-type]

    def commit_at(self, object_id: object, time_ms: int) -> int:
        raise AssertionError("nobody asks")

    def check(self, object_id: object, commit: int) -> None:
        raise AssertionError("nobody asks")


class System:
    """A host and its objects, and what every commit made of them."""

    def __init__(self, directory: Path, choice: random.Random) -> None:
        self._directory = directory
        self._choice = choice
        self._lives = 0
        self.data = directory / "0"
        self.past: list[list[tuple[int, Contents]]] = [[] for _ in IDS]
        self._open()

    def _open(self) -> None:
        self.keeper = HandKeeper(self.data)
        self.store = HostStore(self.data, limits=LIMITS, keeper=self.keeper, rewinder=Rewinder(self.data))

    def do(self, operation: str) -> None:
        getattr(self, f"_{operation.replace(' ', '_')}")()
        self.store.settle()

    def _present(self, which: int) -> Contents:
        return dict(self.past[which][-1][1]) if self.past[which] else {}

    def _change(self, change: Callable[[Contents], Contents | None], apply: Callable[[object], None]) -> None:
        which = self._choice.randrange(len(IDS))
        self._turn(which, apply, change)

    def _turn(self, which: int, apply: Callable[..., None], change: Callable[[Contents], object]) -> None:
        storage = self.store.open(IDS[which])
        before = storage.position
        apply(storage)
        if storage.dirty:
            number = storage.commit(lambda error: None)
            if number > before:
                contents = self._present(which)
                change(contents)
                self.past[which].append((number, contents))
        storage.close()
        self.store.settle()

    def _write(self, size: int = 300) -> None:
        which, key = self._choice.randrange(len(IDS)), f"key {self._choice.randrange(12)}"
        value = self._choice.randbytes(self._choice.randrange(1, size))
        self._turn(which, lambda storage: storage.put(key, value), lambda contents: contents.update({key: value}))

    def _large(self) -> None:
        self._write(30_000)

    def _delete(self) -> None:
        which, key = self._choice.randrange(len(IDS)), f"key {self._choice.randrange(12)}"
        self._turn(which, lambda storage: storage.delete(key), lambda contents: contents.pop(key, None))

    def _delete_all(self) -> None:
        which = self._choice.randrange(len(IDS))
        self._turn(which, lambda storage: storage.delete_all(), lambda contents: contents.clear())

    def _checkpoint(self) -> None:
        self.store.checkpoint()

    def _keep(self) -> None:
        self.keeper.work()

    def _refuse(self) -> None:
        self.keeper.refuse()

    def _trim(self) -> None:
        make_room(Shelf(self.data))
        for which, object_id in enumerate(IDS):
            if self.past[which] and not ObjectHistory(self.data, object_id).versions():
                assert not self._present(which), "only an object that was emptied leaves the history"
                self.past[which].clear()

    def _restart(self) -> None:
        self.store.close()
        self._open()

    def _crash(self) -> None:
        """What lies on the disk now, and nothing else, is found by the next life."""
        self.store.settle()
        self._lives += 1
        crashed = self.data
        self.data = self._directory / str(self._lives)
        shutil.copytree(crashed, self.data)
        self.store.close()
        self._open()

    def _restore(self) -> None:
        which = self._choice.randrange(len(IDS))
        known = [item for item in self.past[which] if item[0] >= self._earliest(which)]
        if not known:
            return
        commit, contents = self._choice.choice(known)
        number = self.store.plan_restore(IDS[which], commit)
        outcomes: list[object] = []
        assert not self.store.prepare(IDS[which], outcomes.append)
        while not outcomes:
            self.store.settle()
        assert outcomes == [None]
        self.past[which].append((number, dict(contents)))

    # What is told of the past.

    def _earliest(self, which: int) -> int:
        about = Base(Shelf(self.data)).about("ROOM", IDS[which].key)
        return 0 if about is None else about.commit

    def check(self) -> None:
        for which, object_id in enumerate(IDS):
            earliest = self._earliest(which)
            history = ObjectHistory(self.data, object_id)
            known = [item for item in self.past[which] if item[0] >= earliest]
            assert [version.commit for version in history.versions()] == [commit for commit, _ in known]
            for commit, contents in self.past[which]:
                if commit >= earliest:
                    assert contents_of(history.state_at(commit)) == contents
                else:
                    with pytest.raises(HistoryError):
                        history.state_at(commit)

    def close(self) -> None:
        self.store.close()


def contents_of(state: State) -> Contents:
    """What a database of these pages holds, which must be sound."""
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        for number in range(1, state.size_pages + 1):
            file.write(state.images[number])
        file.flush()
        connection = apsw.Connection(
            f"{Path(file.name).as_uri()}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            assert connection.execute("PRAGMA integrity_check").get == "ok"
            return dict(connection.execute("SELECT key, value FROM _roost_kv"))
        finally:
            connection.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, min_size=10, max_size=60), st.integers(0, 2**32))
def test_every_bookmark_within_the_retention_leads_back_to_what_was_stored_then(
    operations: list[str], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        system = System(Path(directory), random.Random(seed))
        try:
            for operation in operations:
                system.do(operation)
            system.check()
        finally:
            system.close()
