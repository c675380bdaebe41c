# A keeper takes over what the journal needs no more, before it is overwritten: that is where history comes from.
#
#  (1) `keep` is called for the segments of one journal in the order of their use, from any thread, and never blocks.
#      While it is under way nobody writes to the segment; its header names its sequence.
#  (2) `done` is called once, from any thread: with True when what is worth keeping is durable elsewhere, with False
#      when it could not be kept; then the segment stays as it is, and is handed over again later.
#  (3) The same segment may come twice: after `done(True)` and a crash before anybody knew. It is kept once.
#  (4) After `close` nothing runs any more and no `done` is called. What was not kept comes again after the next start.
"""The contract of a keeper, and the one that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class Keeper(Protocol):
    """What becomes of a segment that recovery needs no more, before it is used again."""

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        """Begin to keep what is in the segment; `done` tells whether it could be."""

    def adopt(self, data: Path) -> None:
        """The objects in this data directory come from a format that kept no history: theirs begins as they are.

        Called before any of them is opened, with every journal of the directory empty; blocks. Called again when it was
        interrupted. Raises StorageError or OSError; the directory is then still of the older format.
        """

    def close(self) -> None:
        """Stop what runs."""


class NothingKept:
    """No history: segments are used again at once."""

    def keep(self, segment: Path, done: Callable[[bool], None]) -> None:
        done(True)

    def adopt(self, data: Path) -> None:
        """Nothing begins."""

    def close(self) -> None:
        """Nothing runs."""
