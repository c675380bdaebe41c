"""The model of a disk keeps what was synced, and forgets as disks do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from .crashes import Among, AtRandom, UpTo
from .disk import Choice, Disk, Fate
from .recording import Event, Kind, Recording

NOTHING, ALL = UpTo(0), UpTo(2**63)


class Script:
    """Events on an empty disk at /d, by hand."""

    def __init__(self, *, ordered: bool) -> None:
        empty = Recording.__new__(Recording)
        empty.root, empty.at_first, empty.inodes, empty.directories = Path("/d"), {}, {}, []
        self.disk = Disk(empty, ordered=ordered)
        self._number = 0

    def do(
        self, kind: Kind, path: str = "", *, file: int = 0, offset: int = 0, length: int = 0, data: bytes = b""
    ) -> int:
        self._number += 1
        where = f"/d/{path}".rstrip("/") if path or (kind is Kind.SYNC and not file) else ""
        self.disk.apply(Event(self._number, kind, file, offset, length or len(data), 1, where, data))
        return self._number

    def create(self, path: str, file: int) -> int:
        return self.do(Kind.CREATE, path, file=file)

    def write(self, file: int, offset: int, data: bytes) -> int:
        return self.do(Kind.WRITE, file=file, offset=offset, data=data)

    def sync(self, file: int, since: int | None = None, *, data_only: bool = False) -> int:
        return self.do(Kind.SYNC, file=file, offset=self._number if since is None else since, length=int(data_only))

    def sync_names(self, path: str = "") -> int:
        return self.do(Kind.SYNC, path, offset=self._number)

    def left(self, choice: Choice) -> dict[str, bytes]:
        return self.disk.crashed(choice).files


class Fates:
    """Decided by hand, by the number of the event; all names are kept."""

    def __init__(self, fates: dict[int, Fate], sectors: Sequence[bool] = ()) -> None:
        self._fates = fates
        self._sectors = list(sectors)

    def of_change(self, event: Event) -> Fate:
        return self._fates.get(event.number, Fate.LOST)

    def of_sector(self) -> bool:
        return self._sectors.pop(0)

    def of_names(self, pending: Sequence[Event]) -> list[Event]:
        return list(pending)


@pytest.fixture(params=[True, False], ids=["ordered", "free"])
def script(request: pytest.FixtureRequest) -> Script:
    return Script(ordered=request.param)


def test_what_was_synced_with_its_name_is_there(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"x" * 600)
    script.sync(1)
    script.sync_names()
    script.write(1, 0, b"y" * 600)
    assert script.left(NOTHING) == {"a": b"x" * 600}
    assert script.left(ALL) == {"a": b"y" * 600}


def test_what_was_written_while_a_sync_ran_is_not_certain(script: Script) -> None:
    script.create("a", 1)
    script.sync_names()
    began = script.write(1, 0, b"before")
    script.write(1, 0, b"during")
    script.sync(1, began)
    assert script.left(NOTHING) == {"a": b"before"}


def test_sectors_of_a_write_are_kept_each_by_itself(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"o" * 2048)
    script.sync(1)
    written = script.write(1, 0, b"n" * 2048)
    left = script.left(Fates({written: Fate.TORN}, [True, False, False, True]))
    assert left == {"a": b"n" * 512 + b"o" * 1024 + b"n" * 512}


def test_a_later_write_brings_along_the_earlier_ones_in_its_sectors(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"a" * 100)
    second = script.write(1, 100, b"b" * 100)
    assert script.left(Fates({second: Fate.KEPT})) == {"a": b"a" * 100 + b"b" * 100}


def test_a_write_far_out_leaves_zeros_before_it(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"a" * 512)
    second = script.write(1, 512, b"b" * 512)
    assert script.left(Fates({second: Fate.KEPT})) == {"a": bytes(512) + b"b" * 512}
    assert script.left(Fates({second: Fate.HOLE})) == {"a": bytes(1024)}


def test_a_truncation_that_was_lost_takes_along_what_was_written_behind_it(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"o" * 2048)
    script.sync(1)
    script.do(Kind.TRUNCATE, file=1, length=0)
    written = script.write(1, 1024, b"n" * 512)
    assert script.left(Fates({written: Fate.KEPT})) == {"a": b"o" * 2048}
    assert script.left(ALL) == {"a": bytes(1024) + b"n" * 512}


def test_an_allocation_makes_the_file_longer_when_it_is_kept(script: Script) -> None:
    script.create("a", 1)
    script.do(Kind.ALLOCATE, file=1, offset=0, length=700)
    assert script.left(ALL) == {"a": bytes(700)}


def test_ext4_keeps_names_in_order_and_with_any_fsync() -> None:
    script = Script(ordered=True)
    script.create("a", 1)
    script.create("b", 2)
    script.sync(1)
    script.create("c", 3)
    assert script.left(NOTHING).keys() == {"a", "b"}
    assert script.left(Among(frozenset({4}), frozenset(), True, True)).keys() == {"a", "b"}


def test_an_fdatasync_keeps_names_where_the_file_grew() -> None:
    script = Script(ordered=True)
    script.create("a", 1)
    script.sync(1, data_only=True)
    assert script.left(NOTHING) == {}
    script.write(1, 0, b"grown")
    script.sync(1, data_only=True)
    assert script.left(NOTHING) == {"a": b"grown"}


def test_posix_keeps_a_name_only_for_who_syncs_its_directory() -> None:
    script = Script(ordered=False)
    script.do(Kind.MKDIR, "here")
    script.create("here/a", 1)
    script.write(1, 0, b"x")
    script.sync(1)
    assert script.left(NOTHING) == {}
    script.sync_names("here")
    assert script.left(NOTHING) == {}, "the directory's own name is not certain yet"
    script.sync_names()
    assert script.left(NOTHING) == {"here/a": b"x"}


def test_a_file_put_in_the_place_of_another_is_there_whole_or_not_at_all(script: Script) -> None:
    script.create("a", 1)
    script.write(1, 0, b"old")
    script.sync(1)
    script.sync_names()
    script.create("a.new", 2)
    script.write(2, 0, b"new")
    script.sync(2)
    script.do(Kind.RENAME, "a.new", data=b"/d/a")
    assert script.left(NOTHING)["a"] == b"old"
    assert script.left(ALL) == {"a": b"new"}


def test_what_was_removed_may_come_back(script: Script) -> None:
    script.create("a", 1)
    script.sync_names()
    script.do(Kind.UNLINK, "a")
    assert script.left(NOTHING) == {"a": b""}
    script.sync_names()
    assert script.left(NOTHING) == {}


def test_a_name_that_rests_on_a_lost_one_is_lost() -> None:
    script = Script(ordered=False)
    made = script.create("a.new", 1)
    renamed = script.do(Kind.RENAME, "a.new", data=b"/d/a")
    assert script.left(Among(frozenset({made, renamed}), frozenset({renamed}), True, False)) == {}


def test_chance_is_the_same_with_the_same_seed(script: Script) -> None:
    script.create("a", 1)
    for number in range(20):
        script.write(1, number * 300, bytes([number + 1]) * 300)
    ordered = script.disk.unsynced()[0].number == 1
    assert script.left(AtRandom("7", ordered=ordered)) == script.left(AtRandom("7", ordered=ordered))
    assert len({frozenset(script.left(AtRandom(f"{n}", ordered=True)).items()) for n in range(20)}) > 5
