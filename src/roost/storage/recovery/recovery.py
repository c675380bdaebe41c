# After anything unclean, for a whole journal at once: lead every object in it back to its last durable commit.
#
#  (1) The truth is the object's file, as its last durable checkpoint left it, and the page images in the journal since
#      then, in order.
#  (2) Only when every object's file is durable is the journal marked as settled, oldest segment first. What is settled
#      is not replayed any more; it stays for the history.
#  (3) A journal that is damaged is refused where it cannot be said which objects that concerns; else these are put in
#      quarantine and all others go on.
"""Replay the journals of a data directory into the objects' files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from roost.errors import StorageError, StorageFullError
from roost.storage.alarms.agenda_file import AgendaFile
from roost.storage.files import Files, is_out_of_space
from roost.storage.journal.contents import Content
from roost.storage.journal.segment import SegmentReader
from roost.storage.layout import DataDirectory
from roost.storage.recovery.object_recovery import ObjectRecovery
from roost.storage.recovery.survey import Survey

logger = logging.getLogger("roost.storage")


class Recovered(msgspec.Struct, frozen=True):
    """What had to be recovered."""

    objects: int
    commits: int


def recover_all(directory: Path | str, *, upgrade: Callable[[DataDirectory], None] | None = None) -> Recovered:
    """Recover the journals of every host that ever ran in this data directory, whatever their number was.

    For the start of a system, before any host runs. What was in the journals stays in settled segments, for the
    history. `upgrade` brings a directory of the format before this one up to date. Raises DataDirectoryError when a
    host is running.
    """
    layout = DataDirectory(directory, upgrade)
    locks = [layout.slot(number) for number in layout.slots()]
    try:
        done = [recover_slot(layout, lock.path, replay=into_agenda(lock.path)) for lock in locks]
    finally:
        for lock in locks:
            lock.release()
    return Recovered(sum(part.objects for part in done), sum(part.commits for part in done))


def into_agenda(slot: Path) -> Callable[[Iterable[Content]], None]:
    """Tells the agenda of a host that does not run what its journal says of alarms."""

    def replay(contents: Iterable[Content]) -> None:
        if told := list(contents):
            with contextlib.closing(AgendaFile(slot, complete=False)) as agenda:
                agenda.replay(told)

    return replay


def recover_slot(
    layout: DataDirectory, slot: Path, *, replay: Callable[[Iterable[Content]], None] | None = None
) -> Recovered:
    """Recover one host's journal; the caller holds its lock. Afterwards nothing in it is needed.

    `replay` is given what became of each object last, for those who keep more than its file.
    """
    try:
        survey = Survey(slot)
        try:
            done = Recovered(len(survey.objects), survey.commits)
            _recover(layout, survey)
            if replay is not None:
                replay(survey.last_contents())
            _settle(survey)
        finally:
            survey.close()
    except OSError as error:
        raise unreadable(slot, error) from error
    if done.commits:
        logger.info("recovered %d commits of %d objects from %s", done.commits, done.objects, slot)
    return done


def unreadable(slot: Path, error: OSError) -> StorageError:
    """What an error of the system means to whoever wanted the journal of a slot recovered."""
    kind = StorageFullError if is_out_of_space(error) else StorageError
    return kind(f"the journal in {slot} cannot be recovered: {error}")


def _recover(layout: DataDirectory, survey: Survey) -> None:
    ObjectRecovery(layout, survey, lambda key, commit: None).recover_all()


def _settle(survey: Survey) -> None:
    for found in survey.readers:
        reader = SegmentReader(found.path, writable=True)
        try:
            if reader.version == 1 or not any(True for _ in reader.entries()):
                reader.clear(Files())
            else:
                reader.settle(Files())
        finally:
            reader.close()
