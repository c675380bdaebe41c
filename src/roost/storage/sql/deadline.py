"""How long a statement may take, and how much memory."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from roost.errors import SQLError, SQLTimeoutError, SQLTooLargeError

OPERATIONS = 1000
"""Of SQLite's machine, after which it asks whether to go on: some hundredths of a millisecond."""


class Deadline:
    """Watches one statement at a time; `ticks` is set to 0 where one begins."""

    def __init__(self, seconds_max: float, memory_bytes_max: int, monotonic: Callable[[], float]) -> None:
        self.ticks = 0
        self.seconds_max = seconds_max
        self.interruption: SQLError | None = None
        """Why the last statement was interrupted."""
        self._memory_bytes_max = memory_bytes_max
        self._monotonic = monotonic
        self._started = 0.0
        self._memory = 0

    def tick(self) -> bool:
        """Whether to interrupt the statement. The clock is not read for those that end before the first tick."""
        self.ticks += 1
        if self.ticks == 1:
            self._started, self._memory = self._monotonic(), apsw.memory_used()
        elif self._monotonic() - self._started > self.seconds_max:
            self.interruption = SQLTimeoutError(
                f"the statement was interrupted: it took longer than {self.seconds_max:g} seconds: SQLITE_INTERRUPT",
                "SQLITE_INTERRUPT",
            )
        elif apsw.memory_used() - self._memory > self._memory_bytes_max:
            self.interruption = SQLTooLargeError(
                f"the statement was interrupted: it needed more than {self._memory_bytes_max} bytes: SQLITE_INTERRUPT",
                "SQLITE_INTERRUPT",
            )
        return self.interruption is not None

    def why(self) -> SQLError | None:
        """Why the statement that just ended was interrupted; None when it was not."""
        interruption, self.interruption = self.interruption, None
        return interruption
