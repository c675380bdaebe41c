"""`roost restore`: an object goes back to what it held at an earlier time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.history import exactly
from roost.cli.moment import moment_ms
from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, ObjectName, existing_data
from roost.clock import SystemClock
from roost.errors import InvalidArgumentError
from roost.history.object_history import ObjectHistory
from roost.ids import ObjectId, typed
from roost.storage.bookmarks import bookmark_of, commit_of
from roost.storage.recovery.restores import Restores
from roost.supervisor.control_socket import NotRunningError, order
from roost.supervisor.data_directory import claim

_LIFE_BITS = 21
"""A life of an object numbers no more commits than this many bits hold."""


def restore(
    object_name: ObjectName,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="2026-11-24T12:30:00Z, or `10m ago`.", show_default=False),
    ] = None,
    bookmark: Annotated[
        str | None, typer.Option("--bookmark", metavar="B", help="As `roost history` shows it.", show_default=False)
    ] = None,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Take an object back to what it held at an earlier time.

    While roost serves, the object begins anew at once, with its hibernating sockets open; else it goes back when roost
    is started next. What it holds now stays in its history: the bookmark that is shown leads back.
    """
    where = existing_data(app, data)
    object_id = object_of(object_name, where)
    commit = chosen_commit(where, object_id, at, bookmark)
    number, when = take_back(where, object_id, commit)
    held = "" if commit else " to where it held nothing"
    sys.stdout.write(f"{object_name} goes back{held} {when}. This undoes it:\n")
    sys.stdout.write(f"roost restore {object_name} --bookmark {bookmark_of(object_id, number - 1)}\n")


def chosen_commit(data: Path, object_id: ObjectId, at: str | None, bookmark: str | None) -> int:
    """The number of the commit that is meant.

    Raises InvalidArgumentError where none is, HistoryError where it is not kept any more.
    """
    if (at is None) == (bookmark is None):
        raise InvalidArgumentError("restore takes `--at TIME` or `--bookmark B`")
    history = ObjectHistory(data, object_id)
    if not history.versions(1):
        raise InvalidArgumentError(f"{typed(object_id)} has no history: nothing was ever stored, or none is kept of it")
    if bookmark is not None:
        commit = commit_of(bookmark, object_id)
        history.check(commit)
        return commit
    assert at is not None, "one of them is given"
    return history.at_time(past_moment(at, SystemClock().now_ms())).commit


def past_moment(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch. Raises InvalidArgumentError for the future."""
    moment = moment_ms(text, now_ms)
    if moment > now_ms:
        raise InvalidArgumentError(f"{exactly(moment)} lies in the future, to which nothing can be taken back")
    return moment


def take_back(data: Path, object_id: ObjectId, commit: int) -> tuple[int, str]:
    """Have it done: the number of the restoring commit, and when it is made."""
    arguments = {"binding": object_id.binding, "id": object_id.to_string(), "commit": commit}
    try:
        return int(asyncio.run(order(data, "restore", arguments))), "now"
    except NotRunningError:
        with contextlib.closing(claim(data)):  # raises where a roost runs that takes no orders
            newest = ObjectHistory(data, object_id).versions(1)
            highest = newest[-1].commit + (1 << _LIFE_BITS) if newest else 0
            return Restores(data).plan(object_id, commit, above=highest), "when roost is started next"
