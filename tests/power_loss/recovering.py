"""Is a disk, as a power failure left it, led back to what was promised? The real code recovers it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roost.errors import StorageError
from roost.history.object_history import ObjectHistory
from roost.storage.alarms.agenda_reader import NAME, AgendaReader, connect
from roost.storage.store import HostStore

from .crashes import Crash
from .promises import Promises, digest
from .workload import IDS, begin, contents, opened

Found = tuple[str, int | None]
"""What an object holds, as a digest, and when its earliest alarm is due."""


class BrokenPromiseError(Exception):
    """A power failure, recovered from, left what must not be."""


class Recovering:
    """Recovers crashes one after the other, each in a directory of its own below `base`."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.checked = 0

    def check_all(self, crashes: Iterable[Crash], *, deeply_each: int = 8) -> None:
        """One after the other, each so manieth deeply."""
        for crash in crashes:
            self.check(crash, deeply=self.checked % deeply_each == 0)

    def check(self, crash: Crash, *, deeply: bool = False) -> None:
        """Raises BrokenPromiseError. `deeply`: go on committing too, open it once more, and read its history."""
        self.checked += 1
        directory = self._base / str(self.checked)
        crash.state.write(directory)
        try:
            _check(directory, crash.promises, deeply)
        except Exception as error:
            raise BrokenPromiseError(f"{crash}: {error!r}; what was left is kept in {directory}") from error
        shutil.rmtree(directory)


def _check(directory: Path, promises: Promises, deeply: bool) -> None:
    store = opened(directory)
    try:
        found = [_check_object(store, promises, number) for number in range(len(IDS))]
        if deeply:
            found = [_go_on(store, promises, number) for number in range(len(IDS))]
    finally:
        store.close()
    _check_agenda(directory, [due for _, due in found])
    if deeply:
        _check_again(directory, [state for state, _ in found])
        _check_history(directory, promises)


def _check_object(store: HostStore, promises: Promises, number: int) -> Found:
    storage = begin(store, number)
    there = contents(storage)
    found = digest(there)
    promised = promises.of(number)
    if found not in {state for _, state in promised.states}:
        raise BrokenPromiseError(f"object {number} holds {sorted(there)}, {found}; promised was one of {promised}")
    _check_integrity(storage, number)
    return found, _earliest(there)


def _earliest(there: Mapping[str, bytes]) -> int | None:
    return min((int(due) for key, due in there.items() if key.startswith("alarm ")), default=None)


def _check_integrity(storage: Any, number: int) -> None:
    writer = storage._writer
    if writer is not None:
        said = writer.database.connection.pragma("integrity_check")
        if said != "ok":
            raise BrokenPromiseError(f"object {number}: {said}")


def _go_on(store: HostStore, promises: Promises, number: int) -> Found:
    storage = store.open(IDS[number])
    storage.put("after", b"the power failure")
    told: list[StorageError | None] = []
    commit = storage.commit(told.append)
    store.settle()
    if told != [None]:
        raise BrokenPromiseError(f"object {number} cannot be committed to: {told}")
    if commit <= promises.of(number).commit:
        raise BrokenPromiseError(f"object {number} goes on with commit {commit} after {promises.of(number).commit}")
    there = contents(storage)
    return digest(there), _earliest(there)


def _check_agenda(directory: Path, expected: list[int | None]) -> None:
    """No object waits for its alarm in vain: what the agenda has is no later. It may have one too many."""
    path = directory / "hosts" / "0" / NAME
    connection = connect(path)
    try:
        reader = AgendaReader(path, connection)
        due = {entry.key: entry.due for entry in reader.find(object_id.key for object_id in IDS)}
        complete = reader.is_complete()
    finally:
        connection.close()
    for object_id, earliest in zip(IDS, expected, strict=True):
        noted = due.get(object_id.key)
        if earliest is not None and complete and (noted is None or noted > earliest):
            raise BrokenPromiseError(f"the agenda has {noted} for an alarm that is due at {earliest}")


def _check_history(directory: Path, promises: Promises) -> None:
    """Every confirmed commit is in the history, and the last version is what the object holds."""
    for number, object_id in enumerate(IDS):
        versions = {version.commit for version in ObjectHistory(directory, object_id).versions()}
        missing = promises.of(number).commits - versions
        if missing:
            raise BrokenPromiseError(f"object {number}: confirmed commits {sorted(missing)} are not in its history")


def _check_again(directory: Path, found: list[str]) -> None:
    store = opened(directory)
    try:
        if store.recovered.commits:
            raise BrokenPromiseError(f"{store.recovered.commits} commits were recovered after a clean close")
        for number, state in enumerate(found):
            if digest(contents(begin(store, number))) != state:
                raise BrokenPromiseError(f"object {number} is another one after a clean close")
    finally:
        store.close()
