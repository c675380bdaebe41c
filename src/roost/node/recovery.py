"""Recovery of a whole data directory, as the command line hands it to the supervisor."""

from __future__ import annotations

from pathlib import Path

from roost.storage.recovery import recover_all


def recover(data: Path) -> None:
    """Bring the file of every object up to date, whichever host wrote it last. No host may run meanwhile."""
    recover_all(data)
