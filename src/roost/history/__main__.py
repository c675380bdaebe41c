"""`python -m roost.history ERRAND`: the child process that works on the history; see roost.history.errands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from roost.errors import StorageError, StorageFullError
from roost.history.errands import Errand, Fold, Folded, Found, Lookup, Outcome, Rewind, Rewound, decode_errand, refusal
from roost.history.folding import fold
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.history.trimming import trim
from roost.ids import ObjectId
from roost.storage.files import is_out_of_space

NICE = 10
"""How much folding stands back behind those who serve."""


def main(arguments: list[str]) -> int:
    """Do the errand, and tell its outcome on standard output."""
    errand = decode_errand(arguments[0])
    sys.stdout.buffer.write(msgspec.json.encode(perform(errand)))
    return 0


def perform(errand: Errand) -> Outcome:
    """The outcome of an errand; what storage and the system refuse is one too."""
    try:
        match errand:
            case Fold():
                return _fold(errand)
            case Rewind():
                return _rewind(errand)
            case Lookup():
                history = ObjectHistory(errand.data, ObjectId(bytes.fromhex(errand.key), errand.binding))
                return Found(history.at_time(errand.time_ms).commit)
    except StorageError as error:
        return refusal(error)
    except OSError as error:
        kind = StorageFullError if is_out_of_space(error) else StorageError
        return refusal(kind(f"the history cannot be read or written: {error}"))


def _fold(errand: Fold) -> Folded:
    os.nice(NICE)
    kept = 0
    try:
        for segment in errand.segments:
            fold(errand.data, Path(segment))
            kept += 1
    except (StorageError, OSError) as error:
        return Folded(kept, f"{segment} cannot be folded: {error}")
    try:
        trim(Shelf(errand.data), errand.retention, errand.now_ms)
    except (StorageError, OSError) as error:
        return Folded(kept, f"older history cannot be trimmed: {error}")  # the segments are kept all the same
    return Folded(kept)


def _rewind(errand: Rewind) -> Rewound:
    history = ObjectHistory(errand.data, ObjectId(bytes.fromhex(errand.key), errand.binding))
    with os.fdopen(errand.into, "w+b") as file:
        return Rewound(*history.write_state(errand.commit, file))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
