"""`roost repair`: a damaged object is rebuilt from its history."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.history import exactly
from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, ObjectName, existing_data
from roost.cli.restore import take_back
from roost.errors import HistoryError, InvalidArgumentError, StorageCorruptError
from roost.history.examination import Examination, integrity
from roost.history.object_history import ObjectHistory, Version
from roost.ids import ObjectId, typed
from roost.storage.layout import make_durably
from roost.storage.recovery.quarantine import Case, Quarantine
from roost.storage.sums import remove_sums


def repair(
    object_name: ObjectName,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="Serve what is there, if SQLite can read all of it.")
    ] = False,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Rebuild a damaged object from its history.

    It gets what it held after its last commit that is known: all of it, but for commits that the journal itself lost.
    The damaged file is kept in DIR/quarantine. While roost serves this is done at once; else when it is started next.
    """
    where = existing_data(app, data)
    object_id = object_of(object_name, where)
    Repair(where, object_id, lambda line: _say(f"{object_name} {line}")).make(as_it_is=as_it_is)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


class Repair:
    """The repair of one object; `say` is told what is done."""

    def __init__(self, data: Path, object_id: ObjectId, say: Callable[[str], None]) -> None:
        self._data = data
        self._id = object_id
        self._say = say
        self._quarantine = Quarantine(data)
        digits = object_id.key.hex()
        self._path = data / "objects" / object_id.binding / digits[:2] / f"{digits}.sqlite"
        self._kept = data / "quarantine" / f"{digits}.damaged"

    def make(self, *, as_it_is: bool) -> None:
        """Do what is needed, if anything is. Raises StorageError where it cannot be done."""
        case = self._quarantine.case(self._id.key)
        damage = self._damage()
        if case is None and not damage:
            self._say("is not damaged" if self._path.exists() else "never stored anything")
        elif as_it_is:
            self._accept(case, damage)
        elif case is not None and not case.lost and not damage:
            self._quarantine.lift(self._id.key)
            self._say("is not damaged any more, and is served again")
        else:
            self._rebuild(case, damage)

    def _damage(self) -> str:
        found = Examination(self._data, thoroughly=True).problems_of(self._id)
        return "; ".join(problem.what for problem in found)

    def _accept(self, case: Case | None, damage: str) -> None:
        said = integrity(self._path) if self._path.exists() else "there is no file"
        if said:
            raise StorageCorruptError(f"{self._path} cannot be served as it is: {said}")
        if case is None:
            raise InvalidArgumentError(f"the object is served as it is; leave out --as-it-is to mend this: {damage}")
        remove_sums(self._path)
        self._quarantine.lift(self._id.key)
        self._say(f"is served as it is, whatever was changed in it ({damage or case.reason})")

    def _rebuild(self, case: Case | None, damage: str) -> None:
        last = self._last_version()
        if case is None:
            self._quarantine.put(Case(key=self._id.key.hex(), binding=self._id.binding, reason=damage))
        self._keep_copy()
        _, when = take_back(self._data, self._id, last.commit)
        what = "a commit that emptied it" if last.commit == 0 else exactly(last.time_ms)
        self._say(f"goes back to what it held after {what} {when}; {self._kept} is the damaged file")

    def _last_version(self) -> Version:
        versions = ObjectHistory(self._data, self._id).versions(1)
        if not versions:
            raise HistoryError(
                f"{typed(self._id)} cannot be rebuilt: no history of it is kept. A backup may have it"
                " (roost restore-backup --object), or SQLite can read what is there (roost repair --as-it-is)"
            )
        return versions[-1]

    def _keep_copy(self) -> None:
        if self._path.exists():
            make_durably(self._kept.parent)
            fd = os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as copy, self._path.open("rb") as file:
                shutil.copyfileobj(file, copy)
