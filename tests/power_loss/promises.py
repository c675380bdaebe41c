"""What a workload has said about its objects, as marks in a recording, and so what a crash must leave."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

from .recording import Event, Kind

Contents = Mapping[str, bytes]


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Said by a workload.

    `commit`: what the object holds after a commit that is about to be made. `told`: commit `number` is durable.
    `found`: what the object holds, seen after a start; to be said before anything is committed to it.
    """

    kind: Literal["commit", "told", "found"]
    object: int
    contents: str = ""
    """A digest."""
    number: int = 0
    """Of a commit: the how manieth of this workload, counted over all objects."""
    commit: int = 0
    """The number that the storage gave it."""


def say(mark: Mark) -> None:
    """Put a mark into the record; says nothing where nobody records."""
    raw = msgspec.json.encode(mark)
    try:
        power_mark = ctypes.CDLL(None).power_mark
    except AttributeError:
        return
    assert power_mark(raw, ctypes.c_size_t(len(raw))) == 0, "the recorder is there, but it records nothing"


def digest(contents: Contents) -> str:
    """One short word for what an object holds."""
    found = hashlib.blake2b(digest_size=12)
    for key, value in sorted(contents.items()):
        found.update(f"{len(key)}:{key}{len(value)}:".encode())
        found.update(value)
    return found.hexdigest()


class Promised(msgspec.Struct, frozen=True):
    """Of one object: the last state that was confirmed, and the later ones, of which a crash may leave any."""

    states: tuple[tuple[int, str], ...]
    """Number and digest; the first is the confirmed one."""
    commits: frozenset[int] = frozenset()
    """The numbers of all commits that were confirmed."""

    @property
    def commit(self) -> int:
        """The highest number of a commit that was confirmed."""
        return max(self.commits, default=0)


_NOTHING = Promised(((0, digest({})),))


class Promises:
    """Of all objects, at one point of a record. A value: `after` makes another."""

    def __init__(self, objects: Mapping[int, Promised] | None = None) -> None:
        self.objects: dict[int, Promised] = dict(objects or {})

    def of(self, number: int) -> Promised:
        return self.objects.get(number, _NOTHING)

    def after(self, event: Event) -> Promises:
        """With what an event says."""
        if event.kind is not Kind.MARK:
            return self
        mark = msgspec.json.decode(event.data, type=Mark)
        return Promises({**self.objects, mark.object: _with(self.of(mark.object), mark)})

    def fingerprint(self) -> bytes:
        return msgspec.json.encode([(number, one.states, one.commit) for number, one in sorted(self.objects.items())])


def _with(promised: Promised, mark: Mark) -> Promised:
    if mark.kind == "commit":
        return Promised((*promised.states, (mark.number, mark.contents)), promised.commits)
    if mark.kind == "found":
        return Promised(((mark.number, mark.contents),), promised.commits)
    first = next(at for at, (number, _) in enumerate(promised.states) if number == mark.number)
    return Promised(promised.states[first:], promised.commits | ({mark.commit} if mark.commit else set()))
