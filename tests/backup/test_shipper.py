"""Shipping: everything that was committed goes once more into the target, and nothing is skipped."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.backup.hosts import Host, room

from roost.backup import shipper as module
from roost.backup.series import WHOLE, Series, begin_series, chain, series_of, spool_of
from roost.backup.shipper import BrokenChainError, ForeignSeriesError, Shipper, beginnings
from roost.backup.target import DirectoryTarget
from roost.history.archive import ArchiveReader
from roost.history.shelf import Shelf
from roost.storage.journal.record import Record
from roost.storage.journal.segment import Entry, SegmentReader, split_position


@pytest.fixture
def make_shipper(data: Path, target: DirectoryTarget) -> Iterator[Callable[..., Shipper]]:
    """Shippers as processes that come and go: each knows no more than what lies in the target."""
    spools = []

    def make(pause: Callable[[], None] = lambda: None) -> Shipper:
        spool = spool_of(data)
        spools.append(spool)
        made = Shipper(data, Series(target, series_of(data)), spool.__enter__(), pause)
        made.find_ends()
        return made

    yield make
    for spool in spools:
        spool.__exit__(None, None, None)


def shipped(data: Path, target: DirectoryTarget) -> dict[bytes, list[int]]:
    """The numbers of all commits in the target by object, along the chain of each host."""
    series = Series(target, series_of(data))
    found: dict[bytes, list[int]] = {}
    shipments = series.shipments()
    for slot in {one.slot for one in shipments}:
        for link in chain([one for one in shipments if one.slot == slot], 0):
            with ArchiveReader(target.path / series.name(link.name)) as archive:
                archive.verify()
                for run in archive.objects():
                    found.setdefault(run.key, []).extend(record.commit for record in archive.records(run.key))
    return {key: sorted(set(numbers)) for key, numbers in found.items()}


class Counted(Host):
    """A host that knows the numbers of its commits."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.numbers: dict[bytes, list[int]] = {}

    def put(self, name: str, value: bytes, key: str = "value") -> None:
        super().put(name, value, key)
        writer = self.store.open_writer(room(name))
        assert writer is not None
        self.numbers.setdefault(room(name).key, []).append(writer.number)


@pytest.fixture
def host(data: Path) -> Iterator[Counted]:
    host = Counted(data)
    yield host
    host.close()


def test_what_was_committed_since_is_shipped(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper]
) -> None:
    shipper = make_shipper()
    host.put("a", b"1")
    host.put("b", b"1")
    assert shipper.ship().shipments == 1
    assert shipper.ship().shipments == 0
    host.put("a", b"2")
    assert shipper.ship().shipments == 1
    assert shipped(data, target) == host.numbers


def test_whoever_comes_next_goes_on_from_what_lies_in_the_target(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper]
) -> None:
    for number in range(5):
        host.put("a", b"%d" % number)
        assert make_shipper().ship().shipments == 1
    assert make_shipper().ship().shipments == 0
    assert shipped(data, target) == host.numbers


def test_nothing_is_skipped_whenever_it_is_killed(
    data: Path,
    target: DirectoryTarget,
    host: Counted,
    make_shipper: Callable[..., Shipper],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed at random steps, while segments are used again by the dozen and shipments are small."""
    monkeypatch.setattr(module, "PART_BYTES", 20_000)
    monkeypatch.setattr(module, "_SEND_BYTES", 1000)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)

    class Killed(BaseException):
        pass

    def pause() -> None:
        if chance.random() < 0.02:
            raise Killed

    kills = 0
    for _ in range(25):
        for _ in range(chance.randrange(12)):
            host.put(chance.choice("abcdef"), chance.randbytes(chance.randrange(8000)))
        if chance.random() < 0.3:
            host.store.checkpoint()
        try:
            make_shipper(pause).ship()
        except Killed:
            kills += 1
    make_shipper().ship()
    assert shipped(data, target) == host.numbers
    assert kills > 0
    assert max(sequence for _, sequence in _archived(data)) > 0, "segments were used again"


def _archived(data: Path) -> list[tuple[int, int]]:
    return [(int(path.stem.split("-")[1]), int(path.stem.split("-")[2], 16)) for path in Shelf(data).archives()]


def fill_segments(host: Counted, count: int = 30) -> None:
    for _ in range(count):
        host.put("filler", random.randbytes(10_000))
    host.store.checkpoint()


def test_segments_that_were_used_again_come_from_the_archives(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper]
) -> None:
    host.put("a", b"1")
    make_shipper().ship()
    fill_segments(host)
    host.put("a", b"2")
    make_shipper().ship()
    assert shipped(data, target) == host.numbers
    wholes = [one for one in Series(target, series_of(data)).shipments() if split_position(one.until)[1] == WHOLE]
    assert wholes, "some of it was shipped as archives"


def test_after_a_crash_and_a_restart_it_goes_on(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper]
) -> None:
    host.put("a", b"1")
    make_shipper().ship()
    host.put("a", b"2")
    host.close()
    again = Counted(data)
    again.numbers = host.numbers
    again.put("a", b"3")
    make_shipper().ship()
    again.close()
    make_shipper().ship()
    assert shipped(data, target) == host.numbers


def test_what_is_not_kept_any_more_breaks_the_chain_and_is_no_silent_hole(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper]
) -> None:
    host.put("a", b"1")
    make_shipper().ship()
    fill_segments(host)
    for path in Shelf(data).archives()[:-1]:
        path.unlink()
    with pytest.raises(BrokenChainError, match="not kept any more"):
        make_shipper().ship()


def test_a_directory_that_was_put_back_to_an_earlier_copy_is_told_and_begins_anew(
    data: Path, target: DirectoryTarget, host: Counted, make_shipper: Callable[..., Shipper], tmp_path: Path
) -> None:
    host.put("a", b"1")
    series_of(data)
    host.close()
    shutil.copytree(data, tmp_path / "copy")
    again = Counted(data)
    fill_segments(again)
    again.close()
    make_shipper().ship()
    shutil.rmtree(data)
    shutil.copytree(tmp_path / "copy", data)
    later = Counted(data)
    later.put("a", b"2")
    for method in (make_shipper().ship, make_shipper().check):
        with pytest.raises(ForeignSeriesError, match="ahead of the data directory"):
            method()
    begin_series(data)
    make_shipper().check()
    make_shipper().ship()
    assert shipped(data, target)[room("a").key][-1] == later.numbers[room("a").key][-1]
    later.close()


def test_what_files_do_not_hold_yet_lies_behind_the_beginnings(
    data: Path, host: Counted, make_shipper: Callable[..., Shipper], target: DirectoryTarget
) -> None:
    assert split_position(beginnings(data)[0])[1] == 0
    fill_segments(host)
    host.put("a", b"1")
    since = beginnings(data)
    shipper = make_shipper()
    shipper.ends = dict(since)
    shipper.ship()
    series = Series(target, series_of(data))
    found: list[Record] = []
    for one in series.shipments():
        with ArchiveReader(target.path / series.name(one.name)) as archive:
            found += archive.records(room("a").key)
    assert [record.commit for record in found] == host.numbers[room("a").key]
    host.close()
    assert split_position(beginnings(data)[0])[1] == WHOLE, "after a clean end the files hold everything"


def test_the_disk_holds_no_more_than_a_part_of_it_and_nothing_afterwards(
    data: Path, host: Counted, make_shipper: Callable[..., Shipper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 10_000)
    sizes: list[int] = []

    def pause() -> None:
        sizes.append(sum(path.stat().st_size for path in (data / "backup" / "spool").rglob("*.archive*")))

    for _ in range(10):
        host.put("a", random.randbytes(8000))
    done = make_shipper(pause).ship()
    assert done.shipments >= 3
    assert 0 < max(sizes) < done.bytes / 2
    assert list((data / "backup" / "spool").rglob("*.archive*")) == []


def test_a_round_that_finds_nothing_new_reads_no_entry_again(
    host: Counted, make_shipper: Callable[..., Shipper], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        host.put("a", b"%d" % number)
    shipper = make_shipper()
    assert shipper.ship().shipments == 1
    read: list[int] = []
    original = SegmentReader.read

    def watched(self: SegmentReader, entry: Entry) -> bytes:
        read.append(entry.offset)
        return original(self, entry)

    monkeypatch.setattr(SegmentReader, "read", watched)
    again = make_shipper()  # begins with what the target tells, and has to find its place once
    again.ship()
    assert read
    for one in (shipper, again):
        read.clear()
        assert one.ship().shipments == 0
        assert read == []
    host.put("a", b"new")
    assert shipper.ship().shipments == 1
    assert len(set(read)) == 1
