"""Flags and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from roost.config import load
from roost.errors import InvalidArgumentError


def option(metavar: str, text: str, default: object) -> Any:
    """A flag that shows the default, and does not pass it on: settings from elsewhere would then never count."""
    return typer.Option(metavar=metavar, help=f"{text} \\[{default}]", show_default=False)


App = Annotated[
    str | None,
    typer.Argument(
        metavar="APP",
        help="A Python file, or a directory with one: app.py, or main.py. \\[this directory]",
        show_default=False,
    ),
]
Data = Annotated[str | None, option("DIR", "Where everything is stored.", ".roost beside the app")]
AppFlag = Annotated[
    str | None, typer.Option("--app", metavar="APP", help="The app whose data directory is meant. \\[this directory]")
]
"""For commands whose arguments are something else."""
ObjectName = Annotated[
    str,
    typer.Argument(metavar="ID", help="BINDING:name, such as ROOM:lobby, or the 64 hex digits of an id."),
]


def data_of(app: str | None, data: str | None) -> Path:
    """The data directory that is meant: the one given, or that of the app."""
    return Path(data if data is not None else load(app).data).absolute()


def existing_data(app: str | None, data: str | None) -> Path:
    """The data directory that is meant, where there is one. Raises InvalidArgumentError where there is none."""
    where = data_of(app, data)
    if not (where / "format").is_file():
        raise InvalidArgumentError(f"there is no data directory {where}")
    return where
