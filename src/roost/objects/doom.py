"""Why an activation must end."""

from __future__ import annotations

import msgspec

from roost.objects.lifecycle import Happening


class Doom(msgspec.Struct, frozen=True, eq=False):
    """The reason, once known; it is carried out when the turn under way is over."""

    cause: str
    """In a word, for metering: "abort", "constructor", "critical section", "storage", "timeout", "stop"."""
    error: BaseException | None
    """What waits and what is under way fails with this."""
    happening: Happening

    @property
    def breaks_output(self) -> bool:
        """A write was lost: nothing that is held may leave."""
        return self.cause == "storage"

    def for_caller(self) -> BaseException:
        """The error for one more caller: one of its own, so that tracebacks do not grow into each other."""
        error = self.error
        assert error is not None, "hibernation fails nobody"
        if not isinstance(error, Exception) or len(error.args) != 1 or type(error).__init__ is not Exception.__init__:
            return error
        twin = type(error)(*error.args)
        twin.__cause__ = error.__cause__
        return twin
