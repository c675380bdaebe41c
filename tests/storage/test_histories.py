"""Random histories, crashed at random points, against a model: what was confirmed is there, nothing is torn."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from roost.clock import SystemClock
from roost.errors import StorageError
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.files import ScriptedFiles
from roost.storage.journal.batch import unpack
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.journal.segment import SegmentReader, position
from roost.storage.journal.segments import segment_paths
from roost.storage.kv import KeyRange
from roost.storage.object_storage import ObjectStorage
from roost.storage.store import HostStore

LIMITS = Limits(journal_segment_bytes=48 * 1024, checkpoint_bytes=40 * 1024, open_databases_max=2)
IDS = [IdSpace("ROOM", "secret").from_name(f"room {number}") for number in range(4)]
KEYS = st.integers(0, 30).map("key {}".format)
VALUES = st.tuples(st.integers(0, 255), st.integers(1, 3)).map(lambda p: bytes([p[0]]) * (10 ** p[1] * 2))
State = dict[str, bytes]


class StandingClock(SystemClock):
    """Always the same moment, so that a history is the same every time."""

    def now_ms(self) -> int:
        return 1_700_000_000_000


class Room:
    """One object: its present state, and every state that a crash may leave."""

    def __init__(self, object_id: ObjectId, storage: ObjectStorage, confirmed: dict[bytes, set[int]]) -> None:
        self.object_id = object_id
        self.confirmed = confirmed.setdefault(object_id.key, set())
        """The numbers of all its commits that were confirmed, in all lives."""
        self.storage = storage
        self.present: State = {}
        self.committed: State = {}
        self.possible: list[State] = [{}]
        """The last confirmed state, and the later ones that were committed and not confirmed yet."""

    def commit(self) -> None:
        if not self.storage.dirty:
            return
        state = self.committed = dict(self.present)
        self.possible.append(state)

        def told(error: StorageError | None) -> None:
            assert error is None
            self.confirmed.add(number)
            while any(later is state for later in self.possible[1:]):
                self.possible.pop(0)

        number = self.storage.commit(told)


class Shelf:
    """A keeper that a history makes slow, or fail; it notes which commits of whom it was given."""

    def __init__(self, kept: dict[bytes, set[int]]) -> None:
        self.kept = kept
        self.fails = False
        self.slow = False
        self.waiting: list[Callable[[], None]] = []

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        if self.fails:
            done(False)
        elif self.slow:
            self.waiting.append(lambda: self._keep(segment, done))
        else:
            self._keep(segment, done)

    def _keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        reader = SegmentReader(segment)
        assert reader.settled
        for entry in reader.entries():
            for content in reader.contents(entry):
                self.kept.setdefault(content.key, set()).add(content.commit)
        reader.close()
        done(True)

    def catch_up(self) -> None:
        waiting, self.waiting = self.waiting, []
        for keep in waiting:
            keep()

    def adopt(self, data: Path) -> None: ...

    def close(self) -> None:
        self.waiting.clear()


class Histories(RuleBasedStateMachine):
    rooms: list[Room]
    clock = StandingClock()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.base = Path(tempfile.mkdtemp(prefix="roost-histories-"))
        self.lives = 0
        self.kept: dict[bytes, set[int]] = {}
        self.confirmed: dict[bytes, set[int]] = {}
        self.open(self.base / "0", [{} for _ in IDS])

    def open(self, directory: Path, states: list[State]) -> None:
        self.directory = directory
        self.files = ScriptedFiles()
        self.shelf = Shelf(self.kept)
        self.store = HostStore(directory, limits=LIMITS, files=self.files, clock=self.clock, keeper=self.shelf)
        self.rooms = [Room(object_id, self.store.open(object_id), self.confirmed) for object_id in IDS]
        for room, state in zip(self.rooms, states, strict=True):
            room.present, room.committed, room.possible = dict(state), state, [state]

    def room(self) -> Room:
        return self.chance.choice(self.rooms)

    @rule(key=KEYS, value=VALUES)
    def put(self, key: str, value: bytes) -> None:
        room = self.room()
        room.storage.put(key, value)
        room.present[key] = value

    @rule(value=VALUES)
    def put_many_and_commit(self, value: bytes) -> None:
        room = self.room()
        for number in range(0, 30, 2):
            room.storage.put(f"key {number}", value)
            room.present[f"key {number}"] = value
        room.commit()

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        room = self.room()
        assert room.storage.delete(key) == (room.present.pop(key, None) is not None)

    @rule(key=KEYS, value=VALUES, kept=st.booleans())
    def transaction(self, key: str, value: bytes, kept: bool) -> None:
        room = self.room()
        room.storage.begin_nested()
        room.storage.put(key, value)
        room.storage.delete("key 1")
        if kept:
            room.storage.commit_nested()
            room.present[key] = value
            room.present.pop("key 1", None)
        else:
            room.storage.rollback_nested()

    @rule(value=VALUES)
    def delete_all(self, value: bytes) -> None:
        room = self.room()
        room.storage.delete_all()
        room.present = {}

    @rule()
    def commit(self) -> None:
        self.room().commit()

    @rule()
    def abort_the_turn(self) -> None:
        room = self.room()
        room.storage.rollback()
        room.present = dict(room.committed)

    @rule()
    def new_life(self) -> None:
        room = self.room()
        room.storage.close()
        room.present = dict(room.committed)
        room.storage = self.store.open(room.object_id)

    @precondition(lambda self: self.files.held.is_set())
    @rule()
    def settle(self) -> None:
        self.store.settle()

    @precondition(lambda self: self.files.held.is_set())
    @rule()
    def checkpoint(self) -> None:
        self.store.checkpoint()

    @precondition(lambda self: self.files.held.is_set())
    @rule()
    def torn_checkpoint(self) -> None:
        """Pages were moved, but the file was never synced and nothing was let go."""
        self.store.settle()
        for writer in self.store._open.writers.values():
            if writer.may_checkpoint():
                writer.database.begin_checkpoint()
                writer.database.move_pages()

    @rule()
    def half_a_checkpoint(self) -> None:
        """Pages of durable commits were written, and the process died before the file was synced."""
        for writer in self.store._open.writers.values():
            if not writer.checkpointing:
                writer.database.write_pages(writer.database.durable_mark)

    @rule()
    def the_keeper_fails(self) -> None:
        self.shelf.fails = True

    @rule()
    def the_keeper_is_slow(self) -> None:
        self.shelf.fails, self.shelf.slow = False, True

    @rule()
    def the_keeper_catches_up(self) -> None:
        self.shelf.fails = self.shelf.slow = False
        self.shelf.catch_up()

    @precondition(lambda self: self.files.held.is_set())
    @rule()
    def recovery_is_over(self) -> None:
        self.store.wait_until_recovered()

    @precondition(lambda self: self.files.held.is_set())
    @rule()
    def nothing_confirmed_is_lost_to_the_keeper(self) -> None:
        """Every commit is in what was kept, or in a segment that is still there."""
        self.store.settle()
        there: dict[bytes, set[int]] = {}
        for path in segment_paths(self.directory / "hosts" / "0"):
            reader = SegmentReader(path)
            for entry in reader.entries() if reader.sequence else []:
                for content in reader.contents(entry):
                    there.setdefault(content.key, set()).add(content.commit)
            reader.close()
        for key, commits in self.confirmed.items():
            assert commits <= self.kept.get(key, set()) | there.get(key, set())

    @rule()
    def hold_the_disk(self) -> None:
        self.files.held.clear()

    @rule()
    def free_the_disk(self) -> None:
        self.files.held.set()

    @rule()
    def everything_reads_as_the_model_says(self) -> None:
        for room in self.rooms:
            assert contents(room.storage) == room.present

    @rule()
    def clean_restart(self) -> None:
        self.files.held.set()
        self.store.close()
        self.open(self.directory, [room.committed for room in self.rooms])
        assert self.store.recovered.commits == 0
        self.everything_reads_as_the_model_says()

    @rule()
    def crash(self) -> None:
        self.lives += 1
        self.stand_still()
        copy = self.base / str(self.lives)
        shutil.copytree(self.directory, copy, ignore=shutil.ignore_patterns("lock"))
        possible = [list(room.possible) for room in self.rooms]
        durable = self.store._log._pen.durable  # type: ignore[attr-defined]
        self.abandon()
        self.damage(copy, durable)
        self.open(copy, [{} for _ in IDS])
        for room, states in zip(self.rooms, possible, strict=True):
            found = contents(room.storage)
            assert found in states
            room.present, room.committed, room.possible = dict(found), found, [found]
            check_integrity(room.storage)

    def stand_still(self) -> None:
        """Wait until no thread changes anything: each is idle, or waits for the disk that we hold."""
        while not self.is_still():
            time.sleep(0.0005)

    def is_still(self) -> bool:
        log: Any = self.store._log
        waiting = set() if self.files.held.is_set() else set(self.files.waiting)
        making = [step for step in list(self.store._open.checkpoints._steps) if step.result and not step.result.done()]
        held_up = sum(name.startswith("roost-checkpoint") for name in waiting)
        recovery = self.store._recovery
        return (
            (log._settled == log._position or "roost-journal" in waiting)
            and len(making) == held_up
            and (recovery is None or recovery.done or recovery._resting or "roost-recovery" in waiting)
        )

    def damage(self, copy: Path, durable: int) -> None:
        """What a power failure may do: lose the unsynced end of the journal, and tear files that it can mend."""
        for path in segment_paths(copy / "hosts" / "0"):
            reader = SegmentReader(path)
            entries = list(reader.entries()) if reader.sequence else []
            pages: dict[Path, set[int]] = {}
            end = 0
            for entry in entries:
                if position(reader.sequence, entry.offset + entry.length) > durable:
                    break
                end = entry.offset + entry.length
                for record in unpack(reader.read(entry)):
                    pages.setdefault(object_file(copy, record.key), set()).update(record.images)
            reader.close()
            if entries and durable < position(reader.sequence + 1, 0) and self.chance.random() < 0.7:
                cut = max(end, 4096) + self.chance.randrange(3000)
                with path.open("r+b") as file:
                    file.seek(cut)
                    file.write(self.chance.randbytes(2000) if self.chance.random() < 0.5 else bytes(2000))
            for file_path, numbers in pages.items():
                self.tear(file_path, numbers)

    def tear(self, path: Path, numbers: set[int]) -> None:
        if self.chance.random() < 0.2:
            path.with_name(path.name + "-wal").unlink(missing_ok=True)
        if not path.exists() or self.chance.random() < 0.3:
            return
        size = path.stat().st_size
        with path.open("r+b") as file:
            for number in numbers:
                if number * PAGE_BYTES <= size and self.chance.random() < 0.3:
                    file.seek((number - 1) * PAGE_BYTES)
                    file.write(self.chance.randbytes(PAGE_BYTES))

    def abandon(self) -> None:
        """Let go of a store as a crash does, as far as a living process can."""
        self.files.held.set()
        self.store.close()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.abandon()
            shutil.rmtree(self.base)


def object_file(directory: Path, key: bytes) -> Path:
    return directory / "objects" / "ROOM" / key.hex()[:2] / f"{key.hex()}.sqlite"


def contents(storage: ObjectStorage) -> dict[str, bytes]:
    return dict(storage.select(KeyRange()))


def check_integrity(storage: ObjectStorage) -> None:
    writer: Any = storage._writer
    if writer is not None:
        connection: apsw.Connection = writer.database.connection
        assert connection.pragma("integrity_check") == "ok"


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=5, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
