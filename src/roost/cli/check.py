"""`roost check`: is everything that is stored as it was written?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from roost.cli.object_name import object_of
from roost.cli.options import AppFlag, Data, existing_data
from roost.cli.ps import table
from roost.cli.terminal import counted, tables
from roost.history.examination import Examination, Problem

DAMAGED = 1


def check(
    object_name: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="One object: BINDING:name, or 64 hex digits. \\[all]", show_default=False),
    ] = None,
    thoroughly: Annotated[
        bool, typer.Option("--all", help="Have SQLite check each object too, and read all of the history.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Look for damage, while roost serves or not.

    Files are compared with their checksums, journals are read. Nothing is changed. The status is 1 where something is
    not as it was written: `roost repair` rebuilds an object from its history.
    """
    where = existing_data(app, data)
    examination = Examination(where, thoroughly=thoroughly)
    one = None if object_name is None else object_of(object_name, where)
    problems = list(examination.problems() if one is None else examination.problems_and_quarantine_of(one))
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(problems)) + b"\n")
    else:
        _print(examination, problems, where)
    if problems:
        raise typer.Exit(DAMAGED)


def _print(examination: Examination, problems: list[Problem], where: Path) -> None:
    if problems:
        rows = table("object", "what", "where")
        for one in problems:
            rows.add_row(f"{one.binding} {one.object}".strip(), one.what, one.path)
        tables(folded=False).print(rows)
    looked_at = said(examination) if examination.objects or examination.entries else "no file of it is there"
    sys.stdout.write(f"{where}: {looked_at}; {found(problems)}\n")


def said(examination: Examination) -> str:
    """What was looked at."""
    parts = [f"{counted(examination.objects, 'object')}, {counted(examination.pages, 'page')}"]
    if examination.unchecked:
        parts.append(f"{examination.unchecked} of them without a checksum yet")
    if examination.entries:
        parts.append(f"{examination.entries} {'entry' if examination.entries == 1 else 'entries'} of journals")
    if examination.archives:
        parts.append(counted(examination.archives, "archive"))
    return ", ".join(parts)


def found(problems: list[Problem]) -> str:
    """How much is wrong, in a word."""
    return counted(len(problems), "problem") if problems else "nothing is damaged"
