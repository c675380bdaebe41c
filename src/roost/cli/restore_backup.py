"""`roost restore-backup`: a data directory, led back from a backup."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from roost.backup.restoring import restore
from roost.backup.target import open_target
from roost.cli.backup import Endpoint, Region, TargetName, tell_damaged
from roost.cli.moment import moment_ms, shown
from roost.cli.object_name import object_of
from roost.cli.progress import progress
from roost.cli.terminal import counted
from roost.clock import SystemClock
from roost.ids import ID_BYTES

_HEX = re.compile(rf"[0-9a-fA-F]{{{2 * ID_BYTES}}}")


def restore_backup(
    target: TargetName,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where to; it must be empty, or not there yet.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As of then: 2026-11-24T12:30:00Z. \\[the last moment]", show_default=False),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--object", metavar="ID", help="This object alone.", show_default=False)
    ] = None,
    endpoint: Endpoint = None,
    region: Region = None,
) -> None:
    """Lead all objects back from a backup, into a new data directory.

    Where commits were shipped continuously, any moment since the first backup that is kept can be led back.
    """
    where = open_target(target, endpoint=endpoint, region=region)
    at_ms = None if at is None else moment_ms(at, SystemClock().now_ms())
    with progress(f"restoring from {where.title}") as told:
        done = restore(
            where, data.absolute(), at_ms=at_ms, key=None if only is None else _key_of(only, data), told=told
        )
    are = "is" if done.objects == 1 else "are"
    as_of = shown(done.last_ms if at_ms is None else at_ms)
    sys.stdout.write(f"{counted(done.objects, 'object')} {are} in {data}, as of {as_of}\n")
    tell_damaged(done.damaged)


def _key_of(text: str, data: Path) -> bytes:
    """The object's key; its class cannot be looked up in a directory that is not there yet."""
    return bytes.fromhex(text) if _HEX.fullmatch(text) else object_of(text, data, known=False).key
