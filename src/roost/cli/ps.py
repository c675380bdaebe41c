"""`roost ps`: what runs now, and which objects are awake and why."""

from __future__ import annotations

from msgspec.structs import replace
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from roost.cli.terminal import counted
from roost.storage.recovery.quarantine import Case
from roost.supervisor.report import (
    BackupReport,
    LoopReport,
    ObjectReport,
    ProcessReport,
    QuarantineReport,
    SystemReport,
)

OBJECTS_MAX = 50
"""Rows of the table of objects, those awake first; `--json` has all."""


def with_alarms(report: SystemReport, alarms: dict[str, tuple[int | None, int]]) -> SystemReport:
    """The report, with what `read_alarms_of` tells of its objects."""
    processes = []
    for process in report.processes:
        if process.host is not None:
            objects = [_with_alarm(one, *alarms.get(one.id, (None, 0))) for one in process.host.objects]
            process = replace(process, host=replace(process.host, objects=objects))
        processes.append(process)
    return replace(report, processes=processes)


def with_quarantine(report: SystemReport, cases: list[Case]) -> SystemReport:
    """The report, with the objects that are in quarantine."""
    return replace(report, quarantined=[QuarantineReport(one.binding, one.key, one.reason) for one in cases])


def _with_alarm(one: ObjectReport, due: int | None, failed: int) -> ObjectReport:
    return replace(one, alarm=due, alarms_failed=failed)


def render(report: SystemReport, objects_max: int = OBJECTS_MAX, *, now_ms: int = 0) -> RenderableType:
    """The report as tables."""
    title = Text.assemble((report.app, "bold"), f" on {report.url}, data in {report.data}")
    objects = sorted(_objects(report), key=lambda one: (one[1].state == "hibernated", -one[1].sockets))
    parts: list[RenderableType] = [title, Text(), _processes(report.processes)]
    if objects:
        parts += [Text(), _table_of(objects[:objects_max], now_ms)]
    if len(objects) > objects_max:
        parts.append(Text(f"and {len(objects) - objects_max} more; --json lists all", style="dim"))
    loops = [loop for process in report.processes for loop in _loops(process)]
    parts += [Text(), *map(_loop_line, loops)] if loops else []
    parts += [Text(), *map(_quarantine_line, report.quarantined)] if report.quarantined else []
    return Group(*parts)


def _quarantine_line(one: QuarantineReport) -> Text:
    return Text.assemble((f"{one.binding} {one.id} is damaged", "red"), f": {one.reason}; mend it with roost repair")


def _loops(process: ProcessReport) -> list[LoopReport]:
    return process.host.alarms.loops if process.host is not None and process.host.alarms is not None else []


def _loop_line(loop: LoopReport) -> Text:
    name = f"{loop.binding} {loop.name or loop.id[:12]}"
    text = f"{name} rings without end: {loop.rings} alarms within a minute, for {counted(loop.minutes, 'minute')}"
    return Text(text, style="yellow")


def _objects(report: SystemReport) -> list[tuple[int, ObjectReport]]:
    return [(process.number, one) for process in report.processes if process.host for one in process.host.objects]


def _processes(processes: list[ProcessReport]) -> Table:
    rows = table("process", "pid", "state", "for", "memory", "holds")
    for process in processes:
        told = process.host or process.gateway or process.backup
        memory = f"{told.resident_bytes / 2**20:.0f} MiB" if told else ""
        name = f"{process.role} {process.number}"
        age = duration(process.age_seconds)
        rows.add_row(name, str(process.pid or ""), process.state, age, memory, _holds(process))
    return rows


def _holds(process: ProcessReport) -> str:
    if process.gateway:
        parked = f", {process.gateway.parked} parked" if process.gateway.parked else ""
        return counted(process.gateway.sockets, "socket") + parked
    if process.backup:
        return _backup(process.backup)
    if process.host:
        awake = sum(one.state != "hibernated" for one in process.host.objects)
        asleep = len(process.host.objects) - awake
        ringing = process.host.alarms.ringing if process.host.alarms is not None else 0
        held = f"{counted(awake, 'object')} awake" + (f", {asleep} asleep with sockets" if asleep else "")
        return held + (f", {counted(ringing, 'alarm')} ringing" if ringing else "")
    return ""


def _backup(backup: BackupReport) -> str:
    behind = f"{backup.target} is {duration(backup.behind_seconds)} behind"
    if backup.error:
        return f"{behind}: {backup.error}"
    damaged = f", {counted(len(backup.damaged), 'damaged object')} not as of now" if backup.damaged else ""
    return f"{behind}, {'taking a snapshot' if backup.doing == 'snapshot' else backup.doing}{damaged}"


def _table_of(objects: list[tuple[int, ObjectReport]], now_ms: int) -> Table:
    columns = ("object", "host", "state", "sockets", "events", "turns", "active", "in / out", "next alarm", "failed")
    rows = table(*columns, "kept awake by")
    for host, one in objects:
        meter = one.meter
        events = sum(meter.get("events", {}).values())
        traffic = f"{meter.get('messages_in', 0):g} / {meter.get('messages_out', 0):g}"
        active = duration(meter.get("active_ms", 0) / 1000)
        counts = (str(one.sockets), f"{events:g}", f"{meter.get('turns', 0):g}", active, traffic)
        alarms = (_alarm(one.alarm, now_ms), str(one.alarms_failed or ""))
        rows.add_row(f"{one.binding} {one.name or one.id[:12]}", str(host), one.state, *counts, *alarms, _why(one))
    return rows


def _alarm(due: int | None, now_ms: int) -> str:
    if due is None:
        return ""
    return f"in {duration((due - now_ms) / 1000)}" if due > now_ms else "now"


def _why(one: ObjectReport) -> str:
    if one.pinned_by:
        return ", ".join(one.pinned_by)
    return f"nothing, idle for {duration(one.idle_seconds)}" if one.idle_seconds is not None else ""


def table(*columns: str) -> Table:
    """A table without lines."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def duration(seconds: float) -> str:
    """`350 ms`, `12.5 s`, `3 min`, `5 h`, `2 d`: two digits tell enough."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
