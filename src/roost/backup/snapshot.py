# A snapshot: copies of all objects' files, and what was committed while they were copied.
#
#  (1) First the positions are taken behind which everything lies that the files may not hold yet, then the files are
#      copied as they are, then everything from those positions up to now is shipped. A copy may be of no state that its
#      object ever had; with what was shipped it is the object as of the end of the snapshot, or of any time later that
#      was shipped too. Nobody is stopped, asked, or waited for.
#  (2) A file that did not change since it was copied is not copied again. Whether it changed, its time of change tells;
#      where that is so recent that another change could have the same, the copy is not relied on the next time.
#  (3) Packs hold nothing but whole copies, and say which. So what a killed backup had copied is used by the next one.
#  (4) The snapshot's own entry is written last. Whatever came before it is of no consequence until then.
#  (5) It computes no more than half of the time.
#  (6) What is copied is compared with the file's checksums. A page that does not match, and that is not written anew by
#      what is shipped afterwards, is copied once more as `copy_live` does, which tells a checkpoint from damage. Of an
#      object that is damaged, or in quarantine, the last good state in the series is put into this snapshot; all
#      others go on.
#  (7) A pack of which less than half is still needed is not relied on: its copies are made anew, so that it can go.
"""Takes a snapshot of a data directory into a series."""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from roost.backup.assembly import assemble
from roost.backup.catalog import CatalogWriter, Place, merged, read_catalog
from roost.backup.pack import Copy, PackWriter, read_index
from roost.backup.series import DamagedObject, PackUse, Series, Snapshot, marks
from roost.backup.shipper import Shipper, beginnings
from roost.backup.summed_file import SummedFile
from roost.backup.target import TargetUnavailableError
from roost.clock import Clock
from roost.errors import BackupError, StorageCorruptError
from roost.history.journal_view import SegmentRecycledError, live_entries
from roost.history.live_state import copy_live
from roost.ids import ObjectId
from roost.storage.recovery.quarantine import Quarantine
from roost.storage.sums import damaged_pages
from roost.storage.template import is_born

logger = logging.getLogger("roost.backup")

PACK_BYTES = 32 * 1024 * 1024
"""Beyond it a pack is closed; one that holds a large object is larger."""
WORK_SECONDS = 0.004
"""Of computing, after which it rests as long: a niced process yields its core, but not the caches and the memory."""
LINKS_MAX = 32
"""Of a chain that a snapshot goes on with."""
_RECENT_NS = 2_000_000_000  # of a change, within which another could have the same time on some file system
_WORTH_KEEPING = 0.5
_FILE = re.compile(r"[0-9a-f]{64}\.sqlite")


class Progress(msgspec.Struct):
    """How far a snapshot is."""

    objects: int = 0
    copied: int = 0
    copied_bytes: int = 0


class SnapshotTaker:
    """Takes one snapshot. `pause` is called before each megabyte that is copied, and between objects."""

    def __init__(
        self, data: Path, shipper: Shipper, clock: Clock, pause: Callable[[Progress], None] = lambda progress: None
    ) -> None:
        self._data = data
        self._shipper = shipper
        self._series = shipper.series
        self._clock = clock
        self._progress = Progress()
        self._paused = pause
        self._rested = time.thread_time()
        self._used: dict[str, PackUse] = {}
        self._since: dict[int, int] = {}
        self._quarantine = Quarantine(data)
        self._damaged: list[DamagedObject] = []

    def take(self) -> Snapshot:
        """The snapshot, once it is whole in the target."""
        ids = self._series.snapshot_ids()
        before = self._series.last_snapshot()
        # Behind those that were killed too: what they had copied must not be written over.
        number = max((int(one.partition("-")[0]) for one in [*ids, *_begun(self._series)]), default=0) + 1
        began = self._clock.now_ms()
        name = f"{number:06d}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(began / 1000))}"
        since = self._since = beginnings(self._data)
        self._begin_shipping(since)
        objects = self._copy_objects(name, before)
        self._shipper.ship()
        snapshot = Snapshot(
            id=name,
            began_ms=began,
            ended_ms=self._clock.now_ms(),
            since=marks(since),
            until=marks({slot: self._shipper.ends[slot] for slot in self._shipper.ends}),
            objects=objects,
            copied=self._progress.copied,
            copied_bytes=self._progress.copied_bytes,
            packs=self._used,
            damaged=self._damaged,
        )
        self._series.write_snapshot(snapshot)
        return snapshot

    def _begin_shipping(self, since: dict[int, int]) -> None:
        """A chain that reaches into what is needed goes on; one that ended before it is not made whole for this.

        Where it is made of many small shipments, they are put together: what they hold is shipped once more.
        """
        ends, shipments = self._shipper.ends, self._series.shipments()
        for slot, start in since.items():
            links = sum(one.slot == slot and one.until > start for one in shipments)
            ends[slot] = start if links > LINKS_MAX else max(ends.get(slot, 0), start)

    def _pause(self) -> None:
        self._paused(self._progress)
        worked = time.thread_time() - self._rested
        if worked >= WORK_SECONDS:
            time.sleep(worked)
            self._rested = time.thread_time()

    def _copy_objects(self, name: str, before: Snapshot | None) -> int:
        earlier = _earlier_copies(self._series, before)
        unwanted = {pack for pack, use in (before.packs if before else {}).items() if _is_sparse(use)}
        packs = _Packs(self._series, name, self._pause)
        with self._series.target.write(self._series.name(f"catalogs/{name}.catalog")) as sink, packs:
            catalog = CatalogWriter(sink)
            for place, path, copies in merged(_files(self._data), earlier):
                if path is not None:
                    usable = [copy for copy in copies or [] if copy.pack not in unwanted]
                    self._add(catalog, self._copy_of(packs, place, path, usable, before))
            catalog.finish()
        made = {pack: size for pack, size in packs.sizes.items() if pack in self._used}
        self._used |= {pack: PackUse(size, self._used[pack].used) for pack, size in made.items()}
        self._add_sizes(before)
        return catalog.count

    def _add(self, catalog: CatalogWriter, copy: Copy | None) -> None:
        if copy is not None:
            catalog.add(copy)
            if copy.pack:
                use = self._used.get(copy.pack, PackUse(0, 0))
                self._used[copy.pack] = PackUse(use.size, use.used + copy.length)

    def _copy_of(
        self, packs: _Packs, place: Place, path: Path, usable: list[Copy], before: Snapshot | None
    ) -> Copy | None:
        """What belongs into the catalog; None when the object holds nothing, or was deleted: the journal tells."""
        self._progress.objects += 1
        self._pause()
        try:
            self._quarantine.check(place[1])
            return self._copy_file(packs, place, path, usable)
        except FileNotFoundError:
            return None
        except StorageCorruptError as error:
            return self._last_good(packs, place, before, str(error))

    def _copy_file(self, packs: _Packs, place: Place, path: Path, usable: list[Copy]) -> Copy | None:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            stamp, now = found.st_ctime_ns, time.time_ns()
            copy = next((one for one in usable if (one.stamp, one.size) == (stamp, found.st_size)), None)
            if copy is not None:
                return copy
            try:
                first = file.read(100)
                if is_born(first):
                    file.seek(0)
                    summed = SummedFile(file)
                    recent = abs(now - stamp) < _RECENT_NS
                    copy = packs.writer().add(*place, 0 if recent else stamp, found.st_size, summed)
                    differing = summed.differing(path)
                    if not differing:
                        return self._copied(copy)
                    if self._is_mended(place[1], differing):
                        return self._copied(packs.writer().doubt(copy))
                    packs.writer().drop(copy)
                elif not damaged_pages(path, file.fileno(), 1):
                    return None
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
        return self._copy_carefully(packs, place)

    def _is_mended(self, key: bytes, pages: list[int]) -> bool:
        """Whether all these pages are in what was committed since the snapshot began: it is shipped with it."""
        missing = set(pages)
        try:
            for entry in live_entries(self._data, self._since, key):
                for record in entry.records(key):
                    missing.difference_update(record.images)
        except SegmentRecycledError:
            return False  # it is in an archive by now, or nowhere; whoever copies carefully finds out
        return not missing

    def _copy_carefully(self, packs: _Packs, place: Place) -> Copy | None:
        """Copy an object whose file does not match its checksums. Raises StorageCorruptError when it is damaged."""
        with tempfile.TemporaryFile(prefix="object-", dir=self._shipper.spool) as file:
            if copy_live(self._data, ObjectId(place[1], place[0]), file) is None:
                return None
            file.seek(0)
            return self._copied(packs.writer().add(*place, 0, os.fstat(file.fileno()).st_size, file))

    def _copied(self, copy: Copy) -> Copy:
        self._progress.copied += 1
        self._progress.copied_bytes += copy.length
        return copy

    def _last_good(self, packs: _Packs, place: Place, before: Snapshot | None, reason: str) -> Copy:
        """Of an object that is damaged: what the series has of it, as of the last moment for which it has something."""
        copy = None
        try:
            copy = self._assembled(packs, place, before)
        except TargetUnavailableError:
            raise
        except BackupError as error:
            reason = f"{reason}; and its copy: {error}"
        self._damaged.append(DamagedObject(place[0], place[1].hex(), reason, kept=copy is not None))
        return copy or Copy(*place, stamp=0, size=0, pack="", offset=0, length=0, frozen=0)

    def _assembled(self, packs: _Packs, place: Place, before: Snapshot | None) -> Copy | None:
        if before is None:
            return None
        with tempfile.TemporaryDirectory(prefix="object-", dir=self._shipper.spool) as spool:
            path = Path(spool) / "object.sqlite"
            made = assemble(self._series, before, Path(spool), place[1], path)
            if made is None:
                return None
            with path.open("rb") as file:
                return packs.writer().add(*place, 0, os.fstat(file.fileno()).st_size, file, frozen=made.commit)

    def _add_sizes(self, before: Snapshot | None) -> None:
        """The sizes of those packs that were there before."""
        known = before.packs if before is not None else {}
        for pack, use in self._used.items():
            if not use.size:
                size = known[pack].size if pack in known else self._series.target.size(self._series.name(pack))
                self._used[pack] = PackUse(size, use.used)


class _Packs:
    """The packs of one snapshot, one after the other."""

    def __init__(self, series: Series, name: str, pause: Callable[[], None]) -> None:
        self.sizes: dict[str, int] = {}
        self._series = series
        self._name = name
        self._pause = pause
        self._writer: PackWriter | None = None
        self._block = contextlib.ExitStack()

    def writer(self) -> PackWriter:
        """Where the next copy goes."""
        if self._writer is not None and self._writer.bytes >= PACK_BYTES:
            self._finish()
        if self._writer is None:
            name = f"packs/{self._name}/{len(self.sizes):06d}.pack"
            sink = self._block.enter_context(self._series.target.write(self._series.name(name)))
            self._writer = PackWriter(name, sink, self._pause)
        return self._writer

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.finish()
            self.sizes[writer.name] = writer.bytes
            self._block.close()

    def __enter__(self) -> _Packs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._finish()
        else:
            self._block.__exit__(kind, error, None)


def _files(data: Path) -> Iterator[tuple[Place, Path]]:
    """The files of all objects, in the order of bindings and keys."""
    for binding in _sorted_names(data / "objects"):
        for part in _sorted_names(data / "objects" / binding):
            above = data / "objects" / binding / part
            for name in _sorted_names(above):
                if _FILE.fullmatch(name):
                    yield (binding, bytes.fromhex(name.removesuffix(".sqlite"))), above / name


def _sorted_names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _begun(series: Series) -> set[str]:
    """Every snapshot that has packs."""
    return {pack.split("/")[1] for pack in series.packs()}


def _earlier_copies(series: Series, before: Snapshot | None) -> Iterator[tuple[Place, list[Copy]]]:
    """What is in the target already: of the last snapshot, and of those that were killed before they were whole."""
    streams: list[Iterator[Copy]] = []
    whole = set(series.snapshot_ids())
    for name, packs in itertools.groupby(series.packs(), key=lambda pack: pack.split("/")[1]):
        if name not in whole:
            streams.append(_copies_in(series, list(packs)))
    if before is not None:
        streams.append(read_catalog(series.target, series.name(before.catalog)))
    ordered = heapq.merge(*streams, key=lambda copy: copy.place)
    return ((place, list(copies)) for place, copies in itertools.groupby(ordered, key=lambda copy: copy.place))


def _copies_in(series: Series, packs: list[str]) -> Iterator[Copy]:
    for pack in packs:
        try:
            yield from read_index(series.target, series.name(pack))
        except TargetUnavailableError:
            raise
        except BackupError as error:
            logger.warning("%s; what it had is copied again", error)


def _is_sparse(use: PackUse) -> bool:
    return use.used < use.size * _WORTH_KEEPING
