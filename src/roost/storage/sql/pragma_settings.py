"""PRAGMAs that turn something on or off: each holds for one life of the object."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import apsw

from roost.storage.sql.allowed import SETTINGS

_UNREADABLE = "case_sensitive_like"  # SQLite does not tell it; it is off unless somebody turned it on


class PragmaSettings:
    """Remembers what a life changed on a connection, so that the next life finds it as the first one did."""

    def __init__(self, connection: apsw.Connection, be_alone: Callable[[], None] = lambda: None) -> None:
        self._connection = connection
        self._be_alone = be_alone
        """Ends the read that the connection keeps open: some cannot be changed beside one."""
        self._defaults: dict[str, int] = {}

    def read(self, name: str) -> int:
        """The present value."""
        return 0 if name == _UNREADABLE else int(self._connection.pragma(name))

    def remember(self) -> None:
        """One may be about to change."""
        self._be_alone()
        if not self._defaults:
            self._defaults = {name: self.read(name) for name in sorted(SETTINGS)}

    def apply(self, values: Mapping[str, int]) -> None:
        """Set those to what a life set them to before: its file was closed and opened again meanwhile."""
        self.remember()
        for name, value in values.items():
            self._connection.pragma(name, value)

    def restore(self) -> None:
        """Set all of them back."""
        if self._defaults:
            self._be_alone()
        for name, value in self._defaults.items():
            self._connection.pragma(name, value)
        self._defaults.clear()
