"""Recovery of a whole data directory, as the command line hands it to the supervisor."""

from __future__ import annotations

from pathlib import Path

from roost.history.folding import fold_all
from roost.history.keeper import HistoryKeeper
from roost.link.directory import LocalDirectory
from roost.storage.alarms.agenda_move import move_entries
from roost.storage.recovery.recovery import recover_all
from roost.storage.recovery.upgrade import upgrade


def recover(data: Path, hosts: int) -> None:
    """Bring the file of every object up to date, whichever host wrote it last, and its alarms to the host that owns it
    when there are so many. No host may run meanwhile."""
    keeper = HistoryKeeper(data)
    try:
        recover_all(data, upgrade=lambda layout: upgrade(layout, keeper))
    finally:
        keeper.close()
    fold_all(data)  # commits of an object must be kept before its next host makes others
    slots = range(hosts)
    move_entries(data, slots, LocalDirectory(slots).owner)
