# Work on the history that takes the processor for long is done by a child process, so that no thread of a host waits
# for it: `python -m roost.history`, with the errand as one JSON object, and its outcome as another.
#
#  (1) A child that is killed, at any moment, leaves nothing that the next one minds.
#  (2) A child whose parent was killed goes on to the end of its errand; so may a second one with the same errand.
#  (3) After `close` no child runs any more.
"""Errands: what child processes do for the history."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TypeAlias

import msgspec

from roost.errors import (
    HistoryError,
    InvalidArgumentError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
)
from roost.history.trimming import Retention

COMMAND = (sys.executable, "-P", "-m", "roost.history")
"""`-P`: what lies in the working directory must not shadow modules."""


class Fold(msgspec.Struct, frozen=True, tag="fold"):
    """Make archives of settled segments, in this order, and trim."""

    data: str
    segments: list[str]
    retention: Retention
    now_ms: int


class Rewind(msgspec.Struct, frozen=True, tag="rewind"):
    """Write the pages of an object as it was after a commit."""

    data: str
    binding: str
    key: str
    commit: int
    into: int
    """The descriptor of an empty file."""


class Lookup(msgspec.Struct, frozen=True, tag="lookup"):
    """Find the last commit of an object up to a time."""

    data: str
    binding: str
    key: str
    time_ms: int


Errand: TypeAlias = Fold | Rewind | Lookup


class Folded(msgspec.Struct, frozen=True, tag="folded"):
    """How many of the segments are kept now, and why not more are."""

    kept: int
    failure: str = ""


class Rewound(msgspec.Struct, frozen=True, tag="rewound"):
    commit: int
    size_pages: int


class Found(msgspec.Struct, frozen=True, tag="found"):
    commit: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It could not be done."""

    kind: str
    message: str
    earliest_ms: int | None = None


Outcome: TypeAlias = Folded | Rewound | Found | Refused
_errand: msgspec.json.Decoder[Errand] = msgspec.json.Decoder(Errand)
_outcome: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Outcome)
_KINDS: dict[str, type[StorageError]] = {
    kind.__name__: kind for kind in (StorageError, StorageFullError, StorageCorruptError)
}


def decode_errand(text: str) -> Errand:
    """The errand that a child was given. Raises InvalidArgumentError when it is none."""
    try:
        return _errand.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidArgumentError(f"this is no errand: {text[:200]!r}: {error}") from error


def refusal(error: StorageError) -> Refused:
    """The error as the parent is told."""
    earliest = error.earliest_ms if isinstance(error, HistoryError) else None
    return Refused(type(error).__name__, str(error), earliest)


class Errands:
    """Sends children on errands; `run` may be called from any thread and blocks until its child is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def run(self, errand: Errand, *, descriptors: tuple[int, ...] = ()) -> Outcome:
        """Have it done by a child that gets these descriptors.

        Raises what the child refused it with, and StorageError when the child was killed or failed.
        """
        child = self._start(errand, descriptors)
        try:
            output, words = child.communicate()
        finally:
            with self._lock:
                self._children.discard(child)
        if child.returncode:
            how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
            last = words.decode(errors="replace").strip().rpartition("\n")[2]
            raise StorageError(f"the process that worked on the history ended with {how}{last and f': {last}'}")
        return _checked(_outcome.decode(output))

    def _start(self, errand: Errand, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise StorageError("the history was closed")
            try:
                child = subprocess.Popen(
                    [*COMMAND, msgspec.json.encode(errand).decode()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_environment(),
                    pass_fds=descriptors,
                    start_new_session=True,  # Ctrl-C on the terminal is the parent's affair
                )
            except OSError as error:
                raise StorageError(f"no process can be started to work on the history: {error}") from error
            self._children.add(child)
            return child

    def close(self) -> None:
        """Stop those that run."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()


def _environment() -> dict[str, str]:
    """Our own, and the way to this very package, however the parent found it."""
    package = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{others}" if others else package}


def _checked(outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Refused):
        return outcome
    if outcome.kind == HistoryError.__name__:
        raise HistoryError(outcome.message, earliest_ms=outcome.earliest_ms)
    raise _KINDS.get(outcome.kind, StorageError)(outcome.message)
