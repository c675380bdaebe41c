# What was shipped from the beginning of a snapshot on, fetched and looked into.
#
#  (1) Of each host only what leads on without a gap counts: behind a gap nobody knows what is missing.
#  (2) What the snapshot needs must be there whole; otherwise it is damaged, and that is an error.
#  (3) Objects move between hosts when the number of hosts changes. So the commits of an object are brought into their
#      order by their numbers, whichever host they come from, and each is taken once.
"""The shipments that belong to a snapshot."""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from roost.backup.catalog import Place
from roost.backup.partial_fetch import fetch_of
from roost.backup.series import Series, Shipment, Snapshot, chain, positions
from roost.errors import BackupError, StorageCorruptError
from roost.history.archive import ArchiveReader
from roost.storage.journal.record import Record

_OPEN_MAX = 64
_RUNS = """
    PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
    CREATE TABLE runs (binding TEXT, key BLOB, first INTEGER, number INTEGER,
                       PRIMARY KEY (binding, key, first, number)) WITHOUT ROWID;
"""


class ShippedLog:
    """The shipments of a snapshot, in the directory `spool`; with `key`, what they have of that object alone.

    Raises BackupError when one is missing or damaged.
    """

    def __init__(
        self,
        series: Series,
        snapshot: Snapshot,
        spool: Path,
        told: Callable[[str], None] = lambda text: None,
        key: bytes | None = None,
    ) -> None:
        self.last_ms = snapshot.ended_ms
        """When the last commit in it was made, or the snapshot ended."""
        self.shipments = shipments_for(series, snapshot)
        self._series = series
        self._spool = spool
        self._key = key
        self._open: OrderedDict[int, ArchiveReader] = OrderedDict()
        self._runs = apsw.Connection(str(spool / "runs.sqlite"))
        self._runs.execute(_RUNS).fetchall()  # a statement runs only as far as its rows are read
        for number, shipment in enumerate(self.shipments):
            told(f"fetching what was committed since: {number + 1} of {len(self.shipments)}")
            self._fetch(number, shipment)

    def _fetch(self, number: int, shipment: Shipment) -> None:
        name, path = self._series.name(shipment.name), self._path(number)
        if self._key is None:
            with path.open("wb") as file:
                for piece in self._series.target.stream(name):
                    file.write(piece)
        else:
            with self._damage(number):
                fetch_of(self._series.target, name, self._key, path)
        archive = self._reader(number)
        with self._damage(number), self._runs:
            runs = archive.objects() if self._key is None else filter(None, [archive.run(self._key)])
            self._runs.executemany(
                "INSERT INTO runs VALUES (?, ?, ?, ?)", ((run.binding, run.key, run.first, number) for run in runs)
            )
        self.last_ms = max(self.last_ms, archive.last_ms)

    def runs(self) -> Iterator[tuple[Place, list[int]]]:
        """Every object in it, in order, and the shipments that have commits of it, in theirs."""
        rows = self._runs.execute("SELECT binding, key, number FROM runs ORDER BY binding, key, first, number")
        for place, group in itertools.groupby(rows, key=lambda row: (str(row[0]), bytes(row[1]))):
            yield place, [int(row[2]) for row in group]

    def records(self, key: bytes, numbers: list[int], at_ms: int | None = None) -> Iterator[Record]:
        """The commits of one object in order, each once; with `at_ms` up to the last that was made by then."""
        last = None if at_ms is None else self._last_by(key, numbers, at_ms)
        reached = 0
        for record in self._all(key, numbers):
            if record.commit > reached and (last is None or record.commit <= last):
                reached = record.commit
                yield record

    def verify(self) -> None:
        """Read everything. Raises BackupError when something does not check out."""
        for number in range(len(self.shipments)):
            with self._damage(number):
                self._reader(number).verify()

    def close(self) -> None:
        for archive in self._open.values():
            archive.close()
        self._runs.close()

    def _last_by(self, key: bytes, numbers: list[int], at_ms: int) -> int:
        return max((record.commit for record in self._all(key, numbers) if record.time_ms <= at_ms), default=0)

    def _all(self, key: bytes, numbers: list[int]) -> Iterator[Record]:
        for number in numbers:
            with self._damage(number):
                yield from self._reader(number).records(key)

    def _reader(self, number: int) -> ArchiveReader:
        archive = self._open.get(number)
        if archive is not None:
            self._open.move_to_end(number)
            return archive
        if len(self._open) >= _OPEN_MAX:
            self._open.popitem(last=False)[1].close()
        with self._damage(number):
            archive = self._open[number] = ArchiveReader(self._path(number))
        return archive

    def _path(self, number: int) -> Path:
        return self._spool / f"{number:08d}.archive"

    @contextlib.contextmanager
    def _damage(self, number: int) -> Iterator[None]:
        try:
            yield
        except StorageCorruptError as error:
            name = self._series.name(self.shipments[number].name)
            raise BackupError(f"{name} in {self._series.target.title} is damaged: {error}") from error


def shipments_for(series: Series, snapshot: Snapshot) -> list[Shipment]:
    """Those that a snapshot needs, and all that lead on from it. Raises BackupError when one is missing."""
    since, until = positions(snapshot.since), positions(snapshot.until)
    found: list[Shipment] = []
    for slot, group in itertools.groupby(series.shipments(), key=lambda one: one.slot):
        links = chain(group, since.get(slot, 0))
        found += links
        if links and links[-1].until >= until.get(slot, 0):
            until.pop(slot, None)
    for slot, end in until.items():
        if end > since.get(slot, 0):
            raise BackupError(
                f"the backup {snapshot.id} in {series.target.title} is damaged: of what host {slot} committed while it"
                " was made, something is missing; other backups there may be whole"
            )
    return found
