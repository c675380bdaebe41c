"""`roost history`: the versions of an object that are kept, and their bookmarks."""

from __future__ import annotations

import datetime
import sys
from typing import Annotated

import msgspec
import typer
from rich.console import RenderableType

from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, ObjectName, existing_data
from roost.cli.ps import table
from roost.cli.terminal import tables
from roost.history.object_history import ObjectHistory, Version
from roost.ids import ObjectId
from roost.storage.bookmarks import bookmark_of


class Line(msgspec.Struct, frozen=True):
    """One version, as `--json` has it."""

    bookmark: str
    time_ms: int
    pages: int
    """How many pages of the database the commit changed."""
    bytes: int
    """The size of the database after it."""


def history(
    object_name: ObjectName,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Versions to show, the latest.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Show the versions of an object that are kept, the latest last.

    Whether roost runs or not. `roost restore` takes the object back to any of them.
    """
    where = existing_data(app, data)
    object_id = object_of(object_name, where)
    lines = lines_of(object_id, ObjectHistory(where, object_id).latest(limit))
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(lines)) + b"\n")
    elif not lines:
        sys.stdout.write(f"Nothing is known of {object_name}: nothing was ever stored, or no history is kept of it.\n")
    else:
        tables(folded=False).print(render(lines))


def lines_of(object_id: ObjectId, versions: list[Version]) -> list[Line]:
    """The versions with their bookmarks."""
    return [Line(bookmark_of(object_id, one.commit), one.time_ms, one.pages, one.bytes) for one in versions]


def render(lines: list[Line]) -> RenderableType:
    """The versions as a table."""
    rows = table("bookmark", "time", "pages", "bytes")
    for one in lines:
        rows.add_row(one.bookmark, exactly(one.time_ms), str(one.pages), str(one.bytes))
    return rows


def exactly(time_ms: int) -> str:
    """A moment to the millisecond, as `--at` takes it."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
