"""`roost import`: an object that holds what a SQLite file holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, ObjectName, data_of
from roost.clock import SystemClock
from roost.config import load
from roost.limits import DEFAULTS
from roost.node.importing import import_object


def import_(
    object_name: ObjectName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `roost export` wrote, or any SQLite database.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also when the object holds something already.")] = False,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Let an object hold what a SQLite file holds.

    While roost serves, the object's present life ends and the next one begins with it. What it held before stays in its
    history.
    """
    where = data_of(app, data)
    limits = load(app).limits if data is None else DEFAULTS
    object_id = object_of(object_name, where, known=False)
    import_object(where, object_id, file, replace=replace, limits=limits, clock=SystemClock())
    sys.stdout.write(f"{object_name} holds what {file} holds\n")
