"""`roost backup`: a copy of the whole data directory, elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from roost.backup.pruning import prune
from roost.backup.restoring import choose
from roost.backup.series import DamagedObject, Series, Snapshot, begin_series, series_of, spool_of, taking_snapshots
from roost.backup.shipper import ForeignSeriesError, Shipper
from roost.backup.snapshot import SnapshotTaker
from roost.backup.target import Target, open_target
from roost.backup.verifying import verify as verify_snapshot
from roost.cli.check import DAMAGED
from roost.cli.moment import shown
from roost.cli.options import AppFlag, Data, existing_data
from roost.cli.progress import progress
from roost.cli.terminal import counted
from roost.clock import SystemClock

NICENESS = 10

TargetName = Annotated[str, typer.Argument(metavar="TARGET", help="A directory, or s3://bucket/prefix.")]
Endpoint = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Of an S3-compatible service that is not Amazon's.", show_default=False),
]
Region = Annotated[str | None, typer.Option(metavar="NAME", help="Of the bucket.", show_default=False)]


def backup(
    target: TargetName,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make none: read the last one whole and compare all checksums.")
    ] = False,
    keep: Annotated[
        int, typer.Option(min=0, metavar="N", help="Remove all but the last N backups of this data; 0 keeps all.")
    ] = 0,
    endpoint: Endpoint = None,
    region: Region = None,
    app: AppFlag = None,
    data: Data = None,
) -> None:
    """Back up all objects, while roost serves or not.

    Only what changed since the last backup is copied. One that was killed goes on where it was. `[tool.roost.backup]`
    in pyproject.toml does this all the time, and ships every commit within seconds. The status is 1 where an object is
    damaged: its last good copy stays in the backup, all others are copied.
    """
    where = open_target(target, endpoint=endpoint, region=region)
    if verify:
        _verify(where)
        return
    directory = existing_data(app, data)
    os.nice(NICENESS)
    with taking_snapshots(directory):
        series, snapshot = _take(directory, where, keep)
    _report(series, snapshot)
    tell_damaged(snapshot.damaged)
    if snapshot.damaged:
        raise typer.Exit(DAMAGED)


def _take(data: Path, target: Target, keep: int) -> tuple[Series, Snapshot]:
    with progress(f"backing up to {target.title}") as told, spool_of(data) as spool:
        series = Series(target, series_of(data))
        shipper = Shipper(data, series, spool)
        shipper.find_ends()
        try:
            shipper.check()
        except ForeignSeriesError as error:
            sys.stderr.write(f"roost: {error}; a new series begins\n")
            series = Series(target, begin_series(data))
            shipper = Shipper(data, series, spool)
        taker = SnapshotTaker(data, shipper, SystemClock(), lambda so_far: told(counted(so_far.objects, "object")))
        snapshot = taker.take()
        if keep:
            prune(series, keep)
    return series, snapshot


def _report(series: Series, snapshot: Snapshot) -> None:
    sys.stdout.write(
        f"{snapshot.id} in {series.target.title}: {counted(snapshot.objects, 'object')}, {snapshot.copied} of them"
        f" copied ({snapshot.copied_bytes / 2**20:.1f} MiB)\n"
    )


def tell_damaged(damaged: list[DamagedObject]) -> None:
    """Say of which objects a backup has no copy, or an earlier one, and why."""
    for one in damaged:
        sys.stderr.write(f"roost: {one}\n")


def _verify(target: Target) -> None:
    series, snapshot = choose(target)
    with progress(f"verifying {snapshot.id}") as told, tempfile.TemporaryDirectory(prefix="roost-") as spool:
        found = verify_snapshot(series, snapshot, Path(spool), told)
    sys.stdout.write(
        f"{snapshot.id} in {target.title} is whole: {counted(found.objects, 'object')}, {found.bytes / 2**20:.1f} MiB,"
        f" {counted(found.shipments, 'shipment')}, up to {shown(found.last_ms)}\n"
    )
    tell_damaged(snapshot.damaged)
