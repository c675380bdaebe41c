"""`roost export`: what an object holds, as a plain SQLite file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.backup.exporting import export_all, export_object
from roost.cli.check import DAMAGED
from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, existing_data
from roost.cli.progress import progress
from roost.cli.terminal import counted
from roost.clock import SystemClock
from roost.errors import InvalidArgumentError


def export(
    object_name: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="BINDING:name, or the 64 hex digits of an id.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.", show_default=False)
    ] = None,
    every: Annotated[
        Path | None, typer.Option("--all", metavar="DIR", help="All objects, as DIR/BINDING/ID.sqlite.")
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Add a table `_roost_kv_json` with the stored values as JSON.")
    ] = False,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Write an object's database as a plain SQLite file.

    While roost serves, or while it does not: the file holds the object as it is now. Keys and values are in the table
    `_roost_kv`.
    """
    where = existing_data(app, data)
    if every is not None and object_name is None:
        with progress("exporting") as told:
            done = export_all(where, every, SystemClock(), decode=decode, told=told)
        sys.stdout.write(f"{counted(done.objects, 'object')} {'is' if done.objects == 1 else 'are'} in {every}\n")
        for one in done.damaged:
            sys.stderr.write(f"roost: {one.binding} {one.id} is damaged and left out: {one.reason}\n")
        if done.damaged:
            raise typer.Exit(DAMAGED)
        return
    if every is not None or object_name is None or file is None:
        raise InvalidArgumentError("export takes an object and a file, or `--all DIR` alone")
    export_object(where, object_of(object_name, where), file, decode=decode)
    sys.stdout.write(f"{file}\n")
