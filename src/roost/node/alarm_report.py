"""What a host tells of its alarms for `roost ps`."""

from __future__ import annotations

from roost.host.alarm_clock import AlarmsView
from roost.supervisor.report import AlarmsReport, LoopReport


def alarms_report(view: AlarmsView) -> AlarmsReport:
    """The alarms of a host as plain values."""
    loops = [
        LoopReport(loop.object_id.binding, str(loop.object_id), loop.object_id.name, loop.rings, loop.minutes)
        for loop in view.loops
    ]
    return AlarmsReport(view.next, view.ringing, loops)
