"""The continuous backup: round after round, through outages, kills and restarts of whatever it depends on."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.backup.buckets import Bucket
from tests.backup.hosts import MakeHost, back_up, room, rot

from roost.backup import service as module
from roost.backup.restoring import choose, restore
from roost.backup.series import Series, series_of, taking_snapshots
from roost.backup.service import BackupService
from roost.backup.snapshot import Progress
from roost.backup.target import DirectoryTarget, Sink, TargetUnavailableError
from roost.clock import SystemClock
from roost.history.shelf import Shelf


class Clock(SystemClock):
    """Stands still but for what the test, and waiting, add."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return int(self.seconds * 1000)


class Flaky(DirectoryTarget):
    """A target that is away while `away` is set."""

    away = False

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Sink]:
        self._check()
        with super().write(name) as sink:
            yield sink

    def names(self, prefix: str) -> Iterator[str]:
        self._check()
        return super().names(prefix)

    def _check(self) -> None:
        if self.away:
            raise TargetUnavailableError("the target is away")


Step = Callable[[], object]


class Driven:
    """A service whose waiting is a test's chance to do something: one step for each round."""

    def __init__(self, data: Path, target: DirectoryTarget, *steps: Step, **options: float) -> None:
        self.clock = Clock()
        self.waited: list[float] = []
        self._steps = list(steps)
        settings = {"every": 5.0, "full_every": 3600.0, "keep": 3} | options
        self.service = BackupService(data, target, self.clock, wait=self._wait, **settings)  # type: ignore[arg-type]

    def _wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.clock.seconds += seconds
        if self._steps:
            self._steps.pop(0)()
        else:
            self.service.stop()
        return False

    def run(self) -> Driven:
        self.service.run()
        return self


def value(target: DirectoryTarget, into: Path, name: str = "lobby") -> bytes:
    restore(target, into)
    (path,) = (into / "objects").rglob(f"{room(name).to_string()}.sqlite")
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    ((found,),) = connection.execute("SELECT value FROM _roost_kv").fetchall()
    connection.close()
    return bytes(found)


def test_it_begins_with_a_snapshot_and_ships_every_few_seconds(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    driven = Driven(data, target, lambda: host.put("lobby", b"2"), lambda: host.put("lobby", b"3")).run()
    assert driven.waited == [5.0, 5.0, 5.0]
    series = Series(target, series_of(data))
    assert len(series.snapshots()) == 1
    assert len(series.shipments()) == 3
    assert value(target, tmp_path / "restored") == b"3"


def test_the_last_commit_before_the_end_is_shipped(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")

    def commit_and_stop() -> None:
        host.put("lobby", b"last")
        driven.service.stop()

    driven = Driven(data, target, commit_and_stop)
    driven.run()
    assert value(target, tmp_path / "restored") == b"last"


def test_a_snapshot_is_taken_from_time_to_time_and_old_ones_go(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"0")
    steps = [lambda number=number: host.put("lobby", b"%d" % number) for number in range(1, 41)]
    Driven(data, target, *steps, full_every=20.0, keep=2).run()
    series = Series(target, series_of(data))
    assert len(series.snapshots()) == 2
    assert int(series.snapshot_ids()[0].partition("-")[0]) > 5
    assert len(series.shipments()) < 20, "what was shipped before the oldest snapshot is gone"
    assert value(target, tmp_path / "restored") == b"40"


def test_an_outage_is_told_waited_for_and_made_up_for(
    data: Path, make_host: MakeHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = Flaky(tmp_path / "target")
    host = make_host()
    host.put("lobby", b"1")
    seen: list[tuple[str, float, str]] = []

    def look() -> None:
        status = driven.service.status()
        seen.append((status.doing, status.behind_seconds, status.error))

    def leave() -> None:
        target.away = True
        host.put("lobby", b"2")

    def fill() -> None:
        look()
        for _ in range(30):
            host.put("filler", random.randbytes(10_000))
        host.store.checkpoint()

    def come_back() -> None:
        target.away = False

    driven = Driven(data, target, look, leave, *[fill] * 8, come_back, look)
    driven.run()
    assert seen[0] == ("waiting", 5.0, "")
    away = seen[1:-1]
    assert [one[0] for one in away] == ["failing"] * 8
    assert all("is away" in one[2] for one in away)
    assert away[-1][1] > 100, "how far behind it is can be seen"
    assert seen[-1][0] == "waiting"
    assert seen[-1][1] == 5.0
    assert driven.waited[2:11] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert caplog.text.count("it is tried again") <= 4, "an outage does not fill the log"
    assert "is up to date again" in caplog.text
    assert value(target, tmp_path / "restored") == b"2"


def test_a_target_that_is_away_at_the_start_is_waited_for(data: Path, make_host: MakeHost, tmp_path: Path) -> None:
    target = Flaky(tmp_path / "target")
    target.away = True
    host = make_host()
    host.put("lobby", b"1")
    Driven(data, target, lambda: None, lambda: setattr(target, "away", False)).run()
    assert value(target, tmp_path / "restored") == b"1"


def test_the_next_process_goes_on_with_what_the_killed_one_had_shipped(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    for number in range(5):
        host.put("lobby", b"%d" % number)
        Driven(data, target).run()
    series = Series(target, series_of(data))
    assert len(series.snapshots()) == 1
    assert value(target, tmp_path / "restored") == b"4"


def test_after_a_broken_chain_a_snapshot_begins_a_new_one(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host()
    host.put("lobby", b"1")

    def lose_the_archives() -> None:
        for _ in range(40):
            host.put("filler", random.randbytes(10_000))
        host.put("lobby", b"2")
        host.store.checkpoint()
        for path in Shelf(data).archives()[:-1]:
            path.unlink()

    Driven(data, target, lose_the_archives).run()
    assert "a snapshot begins anew" in caplog.text
    assert len(Series(target, series_of(data)).snapshots()) == 2
    assert value(target, tmp_path / "restored") == b"2"


def test_a_directory_that_was_put_back_begins_a_new_series(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    first = series_of(data)
    host.close()
    shutil.copytree(data, tmp_path / "copy")
    again = make_host()
    for _ in range(40):
        again.put("lobby", random.randbytes(5000))
    again.close()
    Driven(data, target).run()
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "copy", data)
    later = make_host()
    later.put("lobby", b"put back")
    driven = Driven(data, target)
    driven.clock.seconds += 100  # later than the last backup of the old series
    driven.run()
    assert series_of(data) != first
    assert choose(target)[0].id == series_of(data)
    assert "a new series begins" in caplog.text
    assert value(target, tmp_path / "restored") == b"put back"


def test_shipping_goes_on_while_a_snapshot_is_taken(
    data: Path, target: DirectoryTarget, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    for number in range(10):
        host.put(f"room {number}", b"1")
    host.store.checkpoint()
    series = Series(target, series_of(data))
    shipped: list[int] = []

    def slow(self: BackupService, progress: Progress) -> None:
        driven.clock.seconds += 3.0
        host.put("lobby", b"%d" % progress.objects)
        between(self, progress)
        shipped.append(len(series.shipments()))

    between = BackupService._between_steps
    monkeypatch.setattr(BackupService, "_between_steps", slow)
    driven = Driven(data, target, lambda: None, full_every=1.0)
    driven.run()
    assert shipped[-1] - shipped[len(shipped) // 2] >= 4


def test_it_stops_in_the_middle_of_a_snapshot(
    data: Path, target: DirectoryTarget, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    for number in range(10):
        host.put(f"room {number}", b"1")
    host.store.checkpoint()
    driven = Driven(data, target)
    between = BackupService._between_steps

    def stop(self: BackupService, progress: Progress) -> None:
        if progress.objects == 3:
            self.stop()
        between(self, progress)

    monkeypatch.setattr(BackupService, "_between_steps", stop)
    driven.run()
    assert Series(target, series_of(data)).snapshots() == []
    assert driven.waited == []


def test_a_backup_by_hand_at_the_same_time_is_waited_for(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    make_host().put("lobby", b"1")
    block = taking_snapshots(data)
    block.__enter__()
    driven = Driven(data, target, lambda: block.__exit__(None, None, None))
    driven.run()
    assert driven.waited[0] == 1.0
    assert value(target, tmp_path / "restored") == b"1"


def test_a_backup_by_hand_into_the_same_target_disturbs_nothing(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")

    def by_hand() -> None:
        host.put("lobby", b"2")
        back_up(data, target)
        host.put("lobby", b"3")

    Driven(data, target, by_hand, by_hand, lambda: host.put("lobby", b"4")).run()
    assert value(target, tmp_path / "restored") == b"4"


def test_a_full_disk_is_told_and_tried_again(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    full = OSError(28, "No space left on device")
    told: list[str] = []

    def no_room(data: Path) -> contextlib.AbstractContextManager[Path]:
        raise full

    def fill() -> None:
        monkeypatch.setattr(module, "spool_of", no_room)
        host.put("lobby", b"2")

    def free() -> None:
        told.append(driven.service.status().error)
        monkeypatch.undo()

    driven = Driven(data, target, fill, free, lambda: None)
    driven.run()
    assert told == ["[Errno 28] No space left on device"]
    assert value(target, tmp_path / "restored") == b"2"


def test_it_ships_into_a_bucket_and_survives_its_outage(
    data: Path, bucket: Bucket, make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.put("lobby", b"1")
    target = bucket.target("deep/below")
    Driven(data, target, lambda: host.put("lobby", b"2")).run()  # type: ignore[arg-type]
    assert value(target, tmp_path / "restored") == b"2"  # type: ignore[arg-type]
    bucket.stop()
    host.put("lobby", b"3")
    away = Driven(data, target)  # type: ignore[arg-type]
    away.run()
    assert "cannot be reached" in away.service.status().error


def test_a_damaged_object_is_told_and_keeps_what_was_shipped_of_it(
    data: Path, target: DirectoryTarget, make_host: MakeHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its file rots while its host serves it from memory: all that was committed is in the target nevertheless."""
    host = make_host()
    host.put("lobby", b"1")
    host.put("other", b"1")
    told: list[list[str]] = []

    def rots() -> None:
        host.put("lobby", b"2")
        host.put("other", b"2")
        host.forget_in_journal()
        rot(data, "lobby")

    def goes_on() -> None:
        told.append(driven.service.status().damaged)
        host.put("lobby", b"3")

    driven = Driven(data, target, lambda: None, rots, lambda: None, goes_on, lambda: None, full_every=8.0)
    driven.run()
    assert told == [[f"ROOM {room('lobby')}"]]
    assert driven.service.status().error == ""
    assert f"ROOM {room('lobby')} is damaged, its last good copy stays in the backup" in caplog.text
    assert [one.id for one in Series(target, series_of(data)).snapshots()[-1].damaged] == [room("lobby").to_string()]
    assert value(target, tmp_path / "restored") == b"3"
    assert value(target, tmp_path / "other", "other") == b"2"
