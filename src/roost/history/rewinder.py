"""What objects held in their past, for the storage of a host that lives on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from roost.history.errands import Errands, Found, Lookup, Rewind, Rewound
from roost.history.live_state import FileImages
from roost.history.object_history import ObjectHistory
from roost.history.shelf import Shelf
from roost.ids import ObjectId
from roost.storage.recovery.rewinder import State


class HistoryRewinder:
    """Puts states together in child processes, whose pages then lie in files without names. Blocks; on any thread."""

    def __init__(self, data: Path | str, *, errands: Errands | None = None) -> None:
        self._data = Path(data)
        self._errands = errands or Errands()

    def state_at(self, object_id: ObjectId, commit: int) -> State:
        """See `Rewinder`. A database that was brought from elsewhere to be that state is taken first."""
        imported = Shelf(self._data).imported(object_id.key, commit)
        if imported.exists():
            with imported.open("rb") as file:
                pages = FileImages(file)
            return State(commit=commit, size_pages=len(pages), images=pages)
        with tempfile.TemporaryFile(prefix="state-", dir=Shelf(self._data).path) as file:
            errand = Rewind(str(self._data), object_id.binding, object_id.key.hex(), commit, file.fileno())
            outcome = self._errands.run(errand, descriptors=(file.fileno(),))
            assert isinstance(outcome, Rewound), "what a state holds is told"
            size = outcome.size_pages
            return State(commit=outcome.commit, size_pages=size, images=FileImages(file) if size else {})

    def commit_at(self, object_id: ObjectId, time_ms: int) -> int:
        """The number of the last commit no later than that; 0 when nothing had been stored by then.

        Raises HistoryError when that is not known any more.
        """
        outcome = self._errands.run(Lookup(str(self._data), object_id.binding, object_id.key.hex(), time_ms))
        assert isinstance(outcome, Found), "the commit that was looked for is told"
        return outcome.commit

    def check(self, object_id: ObjectId, commit: int) -> None:
        """Raises HistoryError when it can be told at once that the state after that commit is not known any more."""
        ObjectHistory(self._data, object_id).check(commit)

    def close(self) -> None:
        """Stop what runs."""
        self._errands.close()
