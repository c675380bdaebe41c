"""What `roost ps` shows: the state of a running roost, as plain values."""

from __future__ import annotations

from typing import Any

import msgspec


class ObjectReport(msgspec.Struct, frozen=True):
    """One object in memory, or asleep with sockets."""

    binding: str
    id: str
    name: str | None
    state: str
    sockets: int
    pinned_by: list[str]
    """Why it may not hibernate; empty where it may."""
    idle_seconds: float | None
    meter: dict[str, Any]
    alarm: int | None = None
    """When its earliest alarm is due, in milliseconds since the epoch; None where it has none."""
    alarms_failed: int = 0
    """How many of its alarms were given up, of those that are listed."""


class LoopReport(msgspec.Struct, frozen=True):
    """An object whose alarms ring without end."""

    binding: str
    id: str
    name: str | None
    rings: int
    """Within the last minute."""
    minutes: int


class AlarmsReport(msgspec.Struct, frozen=True):
    """The alarms of a host."""

    next: int | None
    """When the next one rings, in milliseconds since the epoch."""
    ringing: int
    """How many objects are running an alarm, or are being woken for one."""
    loops: list[LoopReport]


class HostReport(msgspec.Struct, frozen=True):
    app: str
    objects: list[ObjectReport]
    peers: int
    """Gateways and hosts that are linked to it."""
    resident_bytes: int
    alarms: AlarmsReport | None = None


class GatewayReport(msgspec.Struct, frozen=True):
    sockets: int
    """WebSockets of clients."""
    hosts: int
    """Hosts that it is linked to."""
    resident_bytes: int
    parked: int = 0
    """Those of the WebSockets whose client is silent."""


class BackupReport(msgspec.Struct, frozen=True):
    """How the continuous backup stands."""

    target: str
    doing: str
    """`starting`, `waiting`, `shipping`, `snapshot`, or `failing`."""
    behind_seconds: float
    """The age of the moment up to which everything is in the target."""
    shipped_bytes: int
    snapshot: str
    """The last one that is whole; empty where there is none yet."""
    error: str
    """Why it fails now."""
    resident_bytes: int
    damaged: list[str] = []
    """Objects that the last snapshot has no copy of, or an earlier one, because they were damaged."""


class ProcessReport(msgspec.Struct, frozen=True):
    """A process of the system; `host`, `gateway` or `backup`, by its role, is None where it has not answered."""

    role: str
    number: int
    pid: int
    state: str
    """`serving`, `silent` (it does not answer), or `gone` (another is being started)."""
    age_seconds: float
    host: HostReport | None = None
    gateway: GatewayReport | None = None
    backup: BackupReport | None = None


class QuarantineReport(msgspec.Struct, frozen=True):
    """An object whose storage is damaged: it is not served before it is repaired."""

    binding: str
    id: str
    reason: str


class SystemReport(msgspec.Struct, frozen=True):
    app: str
    url: str
    data: str
    pid: int
    processes: list[ProcessReport]
    quarantined: list[QuarantineReport] = []
