"""What a supervisor has to tell a person; the command line prints it."""

from __future__ import annotations

from typing import Protocol

from roost.supervisor.messages import Failed


class Reporter(Protocol):
    """Told by the supervisor, at once and in order. None of it may raise."""

    def serving(self, app: str, url: str) -> None:
        """Clients are served from now on."""

    def note(self, text: str) -> None:
        """Something that happened as it should."""

    def warn(self, text: str) -> None:
        """Something that did not, and that roost deals with by itself."""

    def failed(self, failed: Failed, then: str) -> None:
        """A process could not begin; `then` says what happens instead."""
