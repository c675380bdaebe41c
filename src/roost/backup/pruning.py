# What is not needed any more goes: first the snapshots, then what only they needed.
#
#  (1) The newest snapshots stay, as many as were asked for, and of shipments all that lead on from the oldest of them,
#      but for those whose content others have too.
#  (2) A snapshot's own entry is removed before anything that it needs: one that is there is whole.
#  (3) Other series of the target are left alone.
"""Removes old snapshots from a series."""

from __future__ import annotations

import msgspec

from roost.backup.series import Series, Snapshot, positions
from roost.errors import InvalidArgumentError


class Pruned(msgspec.Struct, frozen=True):
    """What was removed."""

    snapshots: int
    packs: int
    shipments: int


def prune(series: Series, keep: int) -> Pruned:
    """Keep so many snapshots, at least one. The caller is the only one who writes snapshots now."""
    if keep < 1:
        raise InvalidArgumentError(f"at least one snapshot is kept, got {keep}")
    ids = series.snapshot_ids()
    gone, kept = ids[:-keep], [series.snapshot(one) for one in ids[-keep:]]
    for name in gone:
        series.remove([f"snapshots/{name}.json", f"catalogs/{name}.catalog"])
    packs = _unneeded_packs(series, kept)
    shipments = _unneeded_shipments(series, kept)
    series.remove([*packs, *shipments])
    return Pruned(len(gone), len(packs), len(shipments))


def _unneeded_packs(series: Series, kept: list[Snapshot]) -> list[str]:
    needed = {pack for snapshot in kept for pack in snapshot.packs}
    return [pack for pack in series.packs() if pack not in needed]


def _unneeded_shipments(series: Series, kept: list[Snapshot]) -> list[str]:
    if not kept:
        return []
    since = positions(kept[0].since)
    unneeded: list[str] = []
    reached: dict[int, int] = {}
    for one in sorted(series.shipments(), key=lambda one: (one.slot, one.since, -one.until)):
        if one.until <= max(since.get(one.slot, 0), reached.get(one.slot, 0)):
            unneeded.append(one.name)
        else:
            reached[one.slot] = one.until
    return unneeded
