"""Is a disk, as a power failure left it, led back to what was promised? The real code recovers it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roost.errors import StorageError
from roost.storage.store import HostStore

from .crashes import Crash
from .promises import Promises, digest
from .workload import IDS, LIMITS, contents


class BrokenPromiseError(Exception):
    """A power failure, recovered from, left what must not be."""


class Recovering:
    """Recovers crashes one after the other, each in a directory of its own below `base`."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self.checked = 0

    def check_all(self, crashes: Iterable[Crash]) -> None:
        """One after the other, each eighth deeply."""
        for crash in crashes:
            self.check(crash, deeply=self.checked % 8 == 0)

    def check(self, crash: Crash, *, deeply: bool = False) -> None:
        """Raises BrokenPromiseError. `deeply`: go on committing too, and open it once more."""
        self.checked += 1
        directory = self._base / str(self.checked)
        crash.state.write(directory)
        try:
            _check(directory, crash.promises, deeply)
        except Exception as error:
            raise BrokenPromiseError(f"{crash}: {error!r}; what was left is kept in {directory}") from error
        shutil.rmtree(directory)


def _check(directory: Path, promises: Promises, deeply: bool) -> None:
    store = HostStore(directory, limits=LIMITS)
    try:
        found = [_check_object(store, promises, number) for number in range(len(IDS))]
        if deeply:
            found = [_go_on(store, promises, number) for number in range(len(IDS))]
    finally:
        store.close()
    if deeply:
        _check_again(directory, found)


def _check_object(store: HostStore, promises: Promises, number: int) -> str:
    storage = store.open(IDS[number])
    there = contents(storage)
    found = digest(there)
    promised = promises.of(number)
    if found not in {state for _, state in promised.states}:
        raise BrokenPromiseError(f"object {number} holds {sorted(there)}, {found}; promised was one of {promised}")
    _check_integrity(storage, number)
    return found


def _check_integrity(storage: Any, number: int) -> None:
    writer = storage._writer
    if writer is not None:
        said = writer.database.connection.pragma("integrity_check")
        if said != "ok":
            raise BrokenPromiseError(f"object {number}: {said}")


def _go_on(store: HostStore, promises: Promises, number: int) -> str:
    storage = store.open(IDS[number])
    storage.put("after", b"the power failure")
    told: list[StorageError | None] = []
    commit = storage.commit(told.append)
    store.settle()
    if told != [None]:
        raise BrokenPromiseError(f"object {number} cannot be committed to: {told}")
    if commit <= promises.of(number).commit:
        raise BrokenPromiseError(f"object {number} goes on with commit {commit} after {promises.of(number).commit}")
    return digest(contents(storage))


def _check_again(directory: Path, found: list[str]) -> None:
    store = HostStore(directory, limits=LIMITS)
    try:
        if store.recovered.commits:
            raise BrokenPromiseError(f"{store.recovered.commits} commits were recovered after a clean close")
        for number, state in enumerate(found):
            if digest(contents(store.open(IDS[number]))) != state:
                raise BrokenPromiseError(f"object {number} is another one after a clean close")
    finally:
        store.close()
