"""The alarms of a data directory, as `roost alarms` and `roost ps` show them: read from the agendas, so that no object
is woken and no host is asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from roost.storage.alarms.agenda_file import FAILED_MAX
from roost.storage.alarms.agenda_reader import readers_of


class NextAlarm(msgspec.Struct, frozen=True):
    """An object that has alarms, and when the earliest of them rings."""

    binding: str
    id: str
    name: str | None
    due: int
    """In milliseconds since the epoch."""
    rings: int
    """When it is to be rung: at `due`, or later after attempts that failed."""
    tries: int
    """So many attempts have failed."""
    host: int


class GivenUp(msgspec.Struct, frozen=True):
    """An alarm that failed and was not tried again."""

    binding: str
    id: str
    name: str | None
    key: str | None
    """The alarm's; None for the one without."""
    scheduled: int
    failed_at: int
    error: str


class AlarmList(msgspec.Struct, frozen=True):
    """What all hosts know of alarms."""

    objects: dict[str, int]
    """By class: how many objects have an alarm."""
    next: list[NextAlarm]
    failed: list[GivenUp]
    complete: bool
    """False while an agenda is being made anew: there may be more."""


def read_alarms(data: Path, *, count: int, failed: int) -> AlarmList:
    """The `count` objects that ring next, and the last alarms that failed. Raises StorageError."""
    objects: dict[str, int] = {}
    next_: list[NextAlarm] = []
    given_up: list[GivenUp] = []
    complete = True
    with readers_of(data) as readers:
        for reader in readers:
            host = int(reader.path.parent.name)
            for binding, number in reader.counts().items():
                objects[binding] = objects.get(binding, 0) + number
            for one in reader.next(count):
                assert one.due is not None, "the file has none that is not due"
                next_.append(NextAlarm(one.binding, one.key.hex(), one.name, one.due, one.at, one.tries, host))
            for lost in reader.failed(failed):
                alarm = lost.alarm or None
                told = (lost.scheduled, lost.failed_at, lost.error)
                given_up.append(GivenUp(lost.binding, lost.key.hex(), lost.name, alarm, *told))
            complete = complete and reader.is_complete()
    next_.sort(key=lambda one: (one.rings, one.id))
    given_up.sort(key=lambda one: -one.failed_at)
    return AlarmList(dict(sorted(objects.items())), next_[:count], given_up[:failed], complete)


def read_alarms_of(data: Path, ids: Iterable[str]) -> dict[str, tuple[int | None, int]]:
    """Of those objects that have alarms, or had some that failed, by their ids: when the earliest is due, and how many
    failed."""
    wanted = set(ids)
    found: dict[str, tuple[int | None, int]] = {}
    with readers_of(data) as readers:
        for reader in readers:
            for one in reader.find(bytes.fromhex(id_) for id_ in wanted):
                found[one.key.hex()] = (one.due, found.get(one.key.hex(), (None, 0))[1])
            for lost in reader.failed(FAILED_MAX):
                if (id_ := lost.key.hex()) in wanted:
                    due, failed = found.get(id_, (None, 0))
                    found[id_] = (due, failed + 1)
    return found
