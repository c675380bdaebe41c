"""Objects that go back to their past when their next life begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from roost.errors import HistoryError, StorageError, StorageFullError
from roost.ids import IdSpace, ObjectId
from roost.storage.database import Database
from roost.storage.journal.log import MemoryLog
from roost.storage.journal.record import Record
from roost.storage.journal.side_file import SideFiles
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery import restoring
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.recovery.restores import Restores
from roost.storage.recovery.rewinder import State
from roost.storage.store import HostStore

MakeStore = Callable[..., HostStore]


class Past:
    """Knows the states that a test showed it: whole files, by the number of the commit."""

    def __init__(self) -> None:
        self.states: dict[int, bytes] = {}
        self.asked: list[int] = []
        self.refuses: Exception | None = None

    def remember(self, store: HostStore, object_id: ObjectId, commit: int) -> None:
        store.checkpoint()
        self.states[commit] = store.path(object_id).read_bytes()

    def state_at(self, object_id: ObjectId, commit: int) -> State:
        self.asked.append(commit)
        if self.refuses is not None:
            raise self.refuses
        raw = self.states[max(number for number in self.states if number <= commit)] if commit else b""
        images = {at // 4096 + 1: raw[at : at + 4096] for at in range(0, len(raw), 4096)}
        return State(commit=commit, size_pages=len(images), images=images)

    def commit_at(self, object_id: ObjectId, time_ms: int) -> int:
        raise AssertionError("the storage restores to commits")

    def check(self, object_id: ObjectId, commit: int) -> None:
        raise AssertionError("whoever plans a restore checks it")


class Told(list[StorageError | None]):
    def __call__(self, error: StorageError | None) -> None:
        self.append(error)


def put(storage: ObjectStorage, value: bytes) -> int:
    storage.put("value", value)
    return storage.commit(lambda error: None)


@pytest.fixture(autouse=True, params=["in the journal", "in a side file"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the pages of a state stand until they are in the object's file."""
    if request.param == "in a side file":
        monkeypatch.setattr(restoring, "LARGE_PAGES", 1)
    return str(request.param)


@pytest.fixture
def past() -> Past:
    return Past()


def three_values(store: HostStore, room: ObjectId, past: Past) -> list[int]:
    storage, commits = store.open(room), []
    for value in (b"one", b"two", b"three"):
        commits.append(put(storage, value))
        store.settle()
        past.remember(store, room, commits[-1])
    storage.close()
    return commits


def begun(store: HostStore, room: ObjectId) -> tuple[ObjectStorage, Told]:
    told = Told()
    assert not store.prepare(room, told)
    while not told:
        store.settle()
    return store.open(room), told


def crashed(directory: Path) -> Path:
    copy = directory.with_name(f"{directory.name}-crashed")
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("lock"), dirs_exist_ok=True)
    return copy


def test_an_object_holds_again_what_it_held(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    number = store.plan_restore(room, commits[0])
    assert store.open(room).get("value") == b"three"  # until its next life begins
    storage, told = begun(store, room)
    assert told == [None]
    assert storage.get("value") == b"one"
    assert past.asked == [commits[0]]
    assert store.prepare(room, told)
    later = put(storage, b"four")
    assert commits[-1] < number < later
    store.settle()
    store.close()
    assert make_store(rewinder=past).open(room).get("value") == b"four"


def test_what_is_committed_before_the_next_life_counts_on_below_the_restore(
    make_store: MakeStore, room: ObjectId, past: Past
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    number = store.plan_restore(room, commits[1])
    storage = store.open(room)
    last = 0
    for _ in range(3):
        last = put(storage, b"between")
        store.checkpoint()
        for writer in list(store._open.writers.values()):
            store._open.drop(writer)  # as when others need the room: numbers begin anew after it
    assert commits[-1] < last < number
    storage.close()
    assert begun(store, room)[0].get("value") == b"two"


def test_a_life_that_lasts_long_after_the_plan_stays_below_it(
    make_store: MakeStore, room: ObjectId, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    number = store.plan_restore(room, commits[0])
    now = store._clock.now_ms()
    monkeypatch.setattr(store._clock, "now_ms", lambda: now + 86_400_000)
    storage = store.open(room)
    store.checkpoint()
    for writer in list(store._open.writers.values()):
        store._open.drop(writer)
    assert commits[-1] < put(storage, b"a day later") < number
    storage.close()
    assert begun(store, room)[0].get("value") == b"one"


def test_a_later_plan_takes_the_place_of_an_earlier_one(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    first = store.plan_restore(room, commits[0])
    assert store.plan_restore(room, commits[1]) >= first
    assert begun(store, room)[0].get("value") == b"two"


def test_a_plan_survives_a_crash_and_a_restart(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    store = make_store(crashed(tmp_path / "data"), rewinder=past)
    assert begun(store, room)[0].get("value") == b"one"


def test_going_back_to_before_the_first_commit_empties_the_object(
    make_store: MakeStore, room: ObjectId, past: Past
) -> None:
    store = make_store(rewinder=past)
    three_values(store, room, past)
    store.plan_restore(room, 0)
    storage, told = begun(store, room)
    assert (told, storage.get("value")) == ([None], None)
    put(storage, b"new")
    store.settle()


def test_a_crash_at_any_point_does_it_once_more_or_finds_it_done(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A copy of the directory is taken before and after every step, and opened as after a crash."""
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    copies: list[Path] = []

    def snapshot(name: str) -> None:
        copies.append(tmp_path / f"{len(copies)} {name}")
        shutil.copytree(tmp_path / "data", copies[-1], ignore=shutil.ignore_patterns("lock"))

    def around(owner: Any, name: str) -> None:
        ordinary = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            snapshot(f"before {name}")
            result = ordinary(*arguments, **named)
            snapshot(f"after {name}")
            return result

        monkeypatch.setattr(owner, name, wrapped)

    steps = [(restoring, "_write"), (restoring, "_stamp"), (os, "rename"), (Restores, "done")]
    for owner, name in [*steps, (SideFiles, "write"), (store._log, "append")]:
        around(owner, name)
    around(store._log, "let_go")
    assert begun(store, room)[0].get("value") == b"one"
    monkeypatch.undo()
    assert len(copies) >= 10
    assert any(list(copy.glob("hosts/0/side/*")) for copy in copies) == (where == "in a side file")
    for copy in copies:
        again = make_store(copy, rewinder=past)
        told = Told()
        while not again.prepare(room, told):
            again.settle()
        assert again.open(room).get("value") == b"one", copy.name
        assert told in ([], [None])
        assert not list((copy / "restores").iterdir())
        assert len(SideFiles(copy / "hosts" / "0").all()) <= 1, "what no record needs is removed"
        again.close()


def test_a_restore_that_was_made_is_not_made_again_over_what_came_after(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    plan = (tmp_path / "data" / "restores" / room.key.hex()).read_bytes()
    storage, _ = begun(store, room)
    put(storage, b"after")
    store.checkpoint()
    copy = crashed(tmp_path / "data")
    (copy / "restores" / room.key.hex()).write_bytes(plan)  # as if its removal had not reached the disk
    store = make_store(copy, rewinder=past)
    assert begun(store, room)[0].get("value") == b"after"


def test_without_room_nothing_changes_and_it_is_tried_again(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    append = store._log.append

    def full(*_: Any) -> int:
        raise StorageFullError("no space left for the journal")

    store._log.append = full  # type: ignore[method-assign, assignment]
    _, told = begun(store, room)
    assert [type(error) for error in told] == [StorageFullError]
    store._log.append = append  # type: ignore[method-assign]
    assert begun(store, room)[0].get("value") == b"one"


def test_what_the_log_refused_leaves_no_side_file(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])

    def full(record: Record, on_durable: Callable[[StorageError | None], None]) -> int:
        store.post(lambda: on_durable(StorageFullError("no space left for the journal")))
        return 1

    append, store._log.append = store._log.append, full  # type: ignore[method-assign]
    _, told = begun(store, room)
    assert [type(error) for error in told] == [StorageFullError]
    assert SideFiles(tmp_path / "data" / "hosts" / "0").all() == set()
    store._log.append = append  # type: ignore[method-assign]
    assert begun(store, room)[0].get("value") == b"one"


def test_a_state_with_a_page_missing_is_refused_and_the_object_does_not_begin(
    make_store: MakeStore, room: ObjectId, past: Past
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    state_at = past.state_at

    def torn(object_id: ObjectId, commit: int) -> State:
        state = state_at(object_id, commit)
        return State(commit=commit, size_pages=state.size_pages + 1, images=state.images)

    past.state_at = torn  # type: ignore[method-assign]
    _, told = begun(store, room)
    assert "of the state after commit" in str(told[0])


def test_a_past_that_is_not_known_any_more_leaves_the_object_as_it_is(
    make_store: MakeStore, room: ObjectId, past: Past, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    past.refuses = HistoryError("kept from 5 o'clock on")
    storage, told = begun(store, room)
    assert (told, storage.get("value")) == ([None], b"three")
    assert "stays as it is: kept from 5 o'clock on" in caplog.text
    assert store.prepare(room, told)


def test_without_history_whoever_waits_is_told(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store()
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    _, told = begun(store, room)
    assert "no history is kept" in str(told[0])


def test_a_plan_that_cannot_be_read_is_told(make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path) -> None:
    store = make_store(rewinder=past)
    three_values(store, room, past)
    (tmp_path / "data" / "restores" / room.key.hex()).write_bytes(b"{")
    _, told = begun(store, room)
    assert "the plan of a restore cannot be read" in str(told[0])


def test_commits_that_are_under_way_are_waited_for(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path
) -> None:
    log = MemoryLog()
    store = make_store(rewinder=past, log=log)
    storage = store.open(room)
    commit = put(storage, b"one")
    told = Told()
    store._restores.plan(room, 0, above=commit)
    storage.close()
    assert not store.prepare(room, told)
    assert (told, past.asked) == ([], [])
    while not told:
        store.settle()
    assert past.asked == [0]
    assert store.open(room).get("value") is None


def test_the_agenda_hears_of_the_alarms_of_the_past(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store(rewinder=past)
    heard: list[int | None] = []
    store.on_alarm = lambda object_id, due: heard.append(due)
    storage = store.open(room)
    storage.write(lambda connection: connection.execute(restoring.alarms._TABLE), confirmed=True)  # type: ignore[attr-defined]
    storage.write(lambda connection: connection.execute("INSERT INTO _roost_alarms VALUES ('', 77, 77, 0, 1)"))
    commit = storage.commit(lambda error: None)
    store.settle()
    past.remember(store, room, commit)
    storage.close()
    store.plan_restore(room, commit)
    begun(store, room)
    assert heard[-1:] == [77]


def test_a_restore_ends_a_quarantine(make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[1])
    Quarantine(tmp_path / "data").put(Case(key=room.key.hex(), binding="ROOM", reason="a bad block"))
    assert begun(store, room)[0].get("value") == b"two"
    assert Quarantine(tmp_path / "data").cases() == []


def test_every_page_is_in_one_commit_and_the_file_is_whole(
    make_store: MakeStore, room: ObjectId, past: Past, tmp_path: Path
) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    begun(store, room)
    path = store.path(room)
    assert Database.exists(path)
    store.close()
    plain = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert plain.pragma("integrity_check") == "ok"
    plain.close()


def test_a_store_that_closes_tells_those_who_wait(make_store: MakeStore, room: ObjectId, past: Past) -> None:
    store = make_store(rewinder=past)
    commits = three_values(store, room, past)
    store.plan_restore(room, commits[0])
    told = Told()
    assert not store.prepare(room, told)
    store.close()
    assert [str(error) for error in told] == ["the store was closed"]
    assert begun(make_store(rewinder=past), room)[0].get("value") == b"one"


def test_an_object_that_nothing_is_planned_for_begins_at_once(make_store: MakeStore, space: IdSpace) -> None:
    store = make_store()
    assert store.prepare(space.from_name("a"), lambda error: None)
