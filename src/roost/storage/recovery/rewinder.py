"""Whom the storage asks for what an object held at some commit of its past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from roost.ids import ObjectId


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What an object held after one of its commits."""

    commit: int
    """That commit: the last one up to the one that was asked for; 0 when there was none."""
    size_pages: int
    """The size of its database; 0 when it held nothing."""
    images: Mapping[int, bytes | memoryview]
    """Every page of it, from 1 to `size_pages`. May be read from disk as it is asked for."""


class Rewinder(Protocol):
    """Knows the past of objects."""

    def state_at(self, object_id: ObjectId, commit: int) -> State:
        """What the object held after `commit`, or after the last commit before it; on any thread, may take long.

        The object's own file and journal are consistent and at rest meanwhile: it is not open. Raises StorageError when
        that is not known any more.
        """

    def commit_at(self, object_id: ObjectId, time_ms: int) -> int:
        """The number of the object's last commit no later than that; 0 when nothing had been stored by then.

        On any thread, may take long; the object may be open. Raises HistoryError when that is not known any more.
        """

    def check(self, object_id: ObjectId, commit: int) -> None:
        """Raises HistoryError when it can be told at once that `state_at` would. On any thread."""
