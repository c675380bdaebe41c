"""Bringing a data directory of the format before this one up to date.

Format 1 to 2: the journals are recovered under the old rules, what was made readable to others is closed to them, and
the history of every object begins with what it holds. The new number is written last; until then everything can be done
again, by this version or the one before.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from roost.storage.alarms.agenda_file import AgendaFile
from roost.storage.journal.keeper import Keeper
from roost.storage.layout import FORMAT, DataDirectory
from roost.storage.recovery.recovery import recover_slot

logger = logging.getLogger("roost.storage")


def upgrade(layout: DataDirectory, keeper: Keeper) -> None:
    """Bring a directory up to date; nothing is lost, and nothing is done where another process was faster.

    Raises DataDirectoryError when a host runs in it, and what recovery and the keeper raise.
    """
    lock = layout.upgrade_lock()
    try:
        if layout.format != str(FORMAT):
            _upgrade(layout, keeper)
    finally:
        os.close(lock)


def _upgrade(layout: DataDirectory, keeper: Keeper) -> None:
    logger.info("%s is upgraded from storage format %s to %d", layout.path, layout.format, FORMAT)
    locks = [layout.slot(number) for number in layout.slots()]
    try:
        for slot in locks:
            recover_slot(layout, slot.path)
            AgendaFile(slot.path, complete=True).close()  # that format had no alarms
        for part in ("hosts", "objects"):
            _close_to_others(layout.path / part)
        keeper.adopt(layout.path)
        layout.set_format(FORMAT)
    finally:
        for slot in locks:
            slot.release()


def _close_to_others(top: Path) -> None:
    for directory, _, files in os.walk(top):
        os.chmod(directory, 0o700)
        for name in files:
            os.chmod(os.path.join(directory, name), 0o600)
