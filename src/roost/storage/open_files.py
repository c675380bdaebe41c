# Which files of a host's objects are open, and which of them get a checkpoint.
#
#  (1) At most `open_databases_max` files stay open, those used last, and of objects that sleep fewer. A file that still
#      has something the journal alone holds gets a checkpoint before it is closed; one in the middle of a turn or a
#      commit stays open beyond the limit.
#  (2) A look at them costs a few steps, however many are open, and is taken again whenever a checkpoint is over.
#  (3) A checkpoint is due where a write-ahead log has grown too large, where a file is to be closed, and where an
#      object keeps an old segment of the journal from being used again.
"""The open files of one host."""

from __future__ import annotations

import itertools
import resource
from collections import OrderedDict
from collections.abc import Callable

from roost.limits import Limits
from roost.storage.background.background_writer import BackgroundWriter
from roost.storage.checkpoints import Checkpoints
from roost.storage.writer import Writer

_CHECKPOINT_BYTES_LEAST = 256 * 1024  # of one object, however many are open
_LEAVING_MAX = 16  # files that get a checkpoint at a time, so that they can be closed
_CROWDED = 4  # times the bytes at which a checkpoint is due, in a write-ahead log that could not be emptied
_DESCRIPTORS = 2  # of an open file: SQLite's, and one to write and sync it
_DESCRIPTORS_OF_OTHERS = 200


class OpenFiles:
    """Keeps the files; `flush` waits until the fate of every commit is known."""

    def __init__(
        self,
        limits: Limits,
        post: Callable[[Callable[[], None]], None],
        flush: Callable[[], None],
        background: BackgroundWriter | None = None,
    ) -> None:
        self._limits = limits
        self._post = post
        self._flush = flush
        self.writers: OrderedDict[bytes, Writer] = OrderedDict()
        """By key, those used last at the end."""
        self._resting: OrderedDict[bytes, Writer] = OrderedDict()
        """Those of objects that sleep."""
        self._leaving: set[Writer] = set()
        """Those that are closed when their checkpoint is over, unless they are used before."""
        self._open_max = min(limits.open_databases_max, _affordable())
        self._checkpoint_bytes = limits.checkpoint_bytes
        self.checkpoints = Checkpoints(post, self.checkpointed, lambda: self._checkpoint_bytes, background)

    @property
    def crowded(self) -> bool:
        """Whether more files are open than should be, because the disk does not keep up with their checkpoints."""
        return len(self.writers) > self._open_max

    def add(self, writer: Writer) -> None:
        """A file was opened."""
        self.writers[writer.key] = writer
        self._share_out()
        self.make_room()

    def use(self, writer: Writer) -> None:
        """A file is used now."""
        self.writers.move_to_end(writer.key)
        self._resting.pop(writer.key, None)
        self._leaving.discard(writer)

    def rest(self, key: bytes) -> None:
        """A life of the object ended: until the next one uses its file, others may need the room."""
        writer = self.writers.get(key)
        if writer is not None:
            self._resting[key] = writer
            self.make_room()

    def drop(self, writer: Writer) -> None:
        """Close a file."""
        self.forget(writer)
        writer.close()

    def forget(self, writer: Writer) -> None:
        """Let go of a file, which somebody else closes."""
        del self.writers[writer.key]
        self._resting.pop(writer.key, None)
        self._leaving.discard(writer)
        self._share_out()

    # Checkpoints; see (3).

    def settled(self, writer: Writer) -> None:
        """An object came to rest, or has committed much without doing so."""
        database, due = writer.database, self._checkpoint_bytes
        if writer.overdue or database.unwritten_bytes >= due:
            self.checkpoints.begin(writer)
        elif database.wal_bytes >= _CROWDED * due and not writer.settled:
            self._post(lambda: self._relieve(writer))
        elif database.wal_bytes >= due:
            self.checkpoints.empty(writer)
        elif self._excessive:
            self.make_room()

    def bring_up_to_date(self, keys: set[bytes]) -> None:
        """The journal went on to another segment: have the older ones let go of, so that they can be used again."""
        for key in keys:
            writer = self.writers.get(key)
            if writer is not None:
                writer.due = writer.number
                self.checkpoints.begin(writer)

    def checkpointed(self, writer: Writer) -> None:
        """A checkpoint is over."""
        if writer in self._leaving and writer.up_to_date and writer.may_checkpoint():
            self.drop(writer)
            self.make_room()
            return
        self._leaving.discard(writer)
        self.settled(writer)  # what was committed meanwhile may want the next one

    def begin_all(self) -> None:
        """Begin a checkpoint of every file that can have one."""
        for writer in self.writers.values():
            writer.retry_at = 0.0
            self.checkpoints.begin(writer)

    def _relieve(self, writer: Writer) -> None:
        """Empty the write-ahead log of an object that commits without a pause; holds up all others for a moment."""
        if self.writers.get(writer.key) is not writer or writer.checkpointing or writer.in_turn:
            return
        writer.checkpointing = True  # so that none begins when it comes to rest
        self._flush()
        writer.checkpointing = False
        self.checkpoints.empty_at_once(writer)
        self.settled(writer)

    def _share_out(self) -> None:
        """How much each open file may have before it gets a checkpoint."""
        share = self._limits.checkpoint_bytes_total // max(len(self.writers), 1)
        self._checkpoint_bytes = min(self._limits.checkpoint_bytes, max(share, _CHECKPOINT_BYTES_LEAST))

    # Room; see (1) and (2).

    @property
    def _excessive(self) -> bool:
        """Whether more files are open than should be."""
        return self.crowded or len(self._resting) > self._limits.resting_databases_max

    def make_room(self) -> None:
        """Close what was not used for longest, or have it brought up to date so that it can be closed."""
        self._close_some(self._resting, self._limits.resting_databases_max)
        self._close_some(self.writers, self._open_max)

    def _close_some(self, writers: OrderedDict[bytes, Writer], allowed: int) -> None:
        self._leaving = {writer for writer in self._leaving if writer.checkpointing}  # the others' have failed
        excess = len(writers) - allowed - len(self._leaving)
        for writer in list(itertools.islice(writers.values(), len(self._leaving) + min(max(excess, 0), _LEAVING_MAX))):
            if writer in self._leaving or len(self._leaving) >= _LEAVING_MAX:
                continue
            if writer.may_checkpoint() and writer.up_to_date:
                self.drop(writer)
            elif writer.may_checkpoint() and self.checkpoints.begin(writer):
                self._leaving.add(writer)
            else:
                writers.move_to_end(writer.key)  # something is under way: it is not one used longest ago


def _affordable() -> int:
    """How many files the process may have open."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return 1 << 20
    return max((int(allowed) - _DESCRIPTORS_OF_OTHERS) // _DESCRIPTORS, 1)
