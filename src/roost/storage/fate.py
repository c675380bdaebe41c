"""What becomes of a commit, told to those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from roost.errors import StorageError
from roost.storage.journal.log import OnDurable


class Fate:
    """Calls back once a commit's fate is known, but never from within the commit itself: not before `may_call`."""

    def __init__(self, callbacks: Sequence[OnDurable]) -> None:
        self._callbacks = callbacks
        self._known = self._free = False
        self._error: StorageError | None = None

    def __call__(self, error: StorageError | None) -> None:
        self._known, self._error = True, error
        if self._free:
            self._call()

    def may_call(self, post: Callable[[Callable[[], None]], None]) -> None:
        """The commit is made; what is known already is told soon, by `post`."""
        self._free = True
        if self._known:
            post(self._call)

    def _call(self) -> None:
        for callback in self._callbacks:
            callback(self._error)
