# When the number of hosts changes, objects change their host, and their entries go with them.
#
#  (1) No host runs meanwhile. What is interrupted is done again from the start: entries that are in two files mean the
#      same, since nothing rang or changed in between.
#  (2) An entry is removed from where it was only when it is durable where it belongs.
#  (3) Where one file did not know every alarm, none is trusted afterwards: to which host an alarm that is missing
#      belongs now, nobody can tell.
"""Bringing the entries of all agendas to the hosts that own their objects."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from roost.storage.alarms.agenda_file import FAILED_MAX, AgendaFile, Changes
from roost.storage.alarms.agenda_reader import NAME, Failed
from roost.storage.alarms.agenda_window import Entry

T = TypeVar("T", Entry, Failed)

_TOGETHER = 16_384


def move_entries(data: Path, slots: Iterable[int], owner: Callable[[bytes], int]) -> int:
    """Bring every entry to the file of its owner, which is one of the `slots`; how many were moved.

    For the start of a system, before any host runs, with every journal recovered. Raises StorageError.
    """
    hosts = data / "hosts"
    before = {int(path.parent.name) for path in hosts.glob(f"*/{NAME}")}
    journals = {int(path.parent.name) for path in hosts.glob("*/journal-*")}
    files: dict[int, AgendaFile] = {}
    with contextlib.ExitStack() as stack:
        for number in sorted({*before, *journals, *slots}):
            files[number] = AgendaFile(hosts / str(number), complete=number not in journals)
            stack.callback(files[number].close)
        complete = all(file.complete for file in files.values())
        moved = sum(_move_from(number, files, owner) for number in files)
        for file in files.values():
            file.write(Changes(complete=complete), sync=True)
    return moved


def _move_from(number: int, files: dict[int, AgendaFile], owner: Callable[[bytes], int]) -> int:
    file = files[number]
    wrong = [entry for entry in file.entries() if owner(entry.key) != number]
    failed = [one for one in file.failed(FAILED_MAX) if owner(one.key) != number]
    for target, entries in _by_owner(wrong, owner).items():
        for batch in _batches(entries):
            files[target].write(Changes(batch))
    for target, some in _by_owner(failed, owner).items():
        files[target].write(Changes(failed=some))
    for other in files.values():
        other.write(Changes(), sync=True)
    for batch in _batches(wrong):
        file.write(Changes([msgspec.structs.replace(entry, due=None) for entry in batch]))
    file.write(Changes(forgiven=[(one.key, one.alarm) for one in failed]))
    return len(wrong)


def _by_owner(things: Iterable[T], owner: Callable[[bytes], int]) -> dict[int, list[T]]:
    found: defaultdict[int, list[T]] = defaultdict(list)
    for thing in things:
        found[owner(thing.key)].append(thing)
    return found


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _TOGETHER):
        yield entries[start : start + _TOGETHER]
