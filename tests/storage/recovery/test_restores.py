"""Plans of restores: durable, one per object, numbered above all that came before."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from roost.errors import StorageCorruptError
from roost.ids import ObjectId
from roost.storage.recovery.restores import Restores


def test_a_plan_is_found_again(tmp_path: Path, room: ObjectId) -> None:
    number = Restores(tmp_path).plan(room, 5)
    plan = Restores(tmp_path).pending(room.key)
    assert plan is not None
    assert (plan.binding, plan.commit, plan.number) == ("ROOM", 5, number)
    assert Restores(tmp_path).all() == [room.key.hex()]


def test_its_number_is_above_every_commit_and_the_clock(tmp_path: Path, room: ObjectId) -> None:
    now = time.time_ns() // 1_000_000 << 21
    far = now + (1 << 50)
    restores = Restores(tmp_path)
    assert restores.plan(room, 5) > now
    assert restores.plan(room, 5, above=far) > far
    assert restores.plan(room, far) > far


def test_one_that_is_done_is_gone(tmp_path: Path, room: ObjectId) -> None:
    restores = Restores(tmp_path)
    restores.plan(room, 5)
    restores.building(room.key).write_bytes(b"half")
    restores.done(room.key)
    assert restores.pending(room.key) is None
    assert restores.all() == []
    assert list((tmp_path / "restores").iterdir()) == []


def test_where_nothing_was_ever_planned_nothing_is(tmp_path: Path, room: ObjectId) -> None:
    assert Restores(tmp_path).pending(room.key) is None
    assert Restores(tmp_path).all() == []


def test_a_plan_that_does_not_check_out_is_named(tmp_path: Path, room: ObjectId) -> None:
    Restores(tmp_path).plan(room, 5)
    (tmp_path / "restores" / room.key.hex()).write_bytes(b"{")
    with pytest.raises(StorageCorruptError, match=f"cannot be read, .*{room.key.hex()}"):
        Restores(tmp_path).pending(room.key)


def test_it_is_for_nobody_but_the_user(tmp_path: Path, room: ObjectId) -> None:
    Restores(tmp_path).plan(room, 5)
    assert stat.S_IMODE((tmp_path / "restores").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "restores" / room.key.hex()).stat().st_mode) == 0o600
