"""Objects in quarantine."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.ids import ObjectId
from roost.storage.recovery.quarantine import Case, Quarantine


def case_of(room: ObjectId) -> Case:
    return Case(key=room.key.hex(), binding="ROOM", reason="a block of the disk is bad", lost=[7, 8])


def test_a_case_is_kept_and_names_the_way_out(tmp_path: Path, room: ObjectId) -> None:
    Quarantine(tmp_path).put(case_of(room))
    quarantine = Quarantine(tmp_path)
    assert quarantine.case(room.key) == case_of(room)
    assert quarantine.cases() == [case_of(room)]
    with pytest.raises(StorageCorruptError, match=rf"a block of the disk is bad.*roost repair {room.key.hex()}"):
        quarantine.check(room.key)


def test_once_lifted_the_object_may_be_opened(tmp_path: Path, room: ObjectId) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.lift(room.key)
    quarantine.put(case_of(room))
    quarantine.lift(room.key)
    quarantine.check(room.key)
    assert quarantine.cases() == []


def test_a_case_that_cannot_be_read_keeps_the_object_closed(tmp_path: Path, room: ObjectId) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.put(case_of(room))
    (tmp_path / "quarantine" / room.key.hex()).write_bytes(b"")
    with pytest.raises(StorageCorruptError, match="cannot be read"):
        quarantine.check(room.key)


def test_it_is_for_nobody_but_the_user(tmp_path: Path, room: ObjectId) -> None:
    Quarantine(tmp_path).put(case_of(room))
    assert stat.S_IMODE((tmp_path / "quarantine").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "quarantine" / room.key.hex()).stat().st_mode) == 0o600
