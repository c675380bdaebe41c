from __future__ import annotations

from roost.host.alarm_clock import AlarmsView
from roost.host.alarm_loops import Loop
from roost.ids import IdSpace
from roost.node.alarm_report import alarms_report
from roost.supervisor.report import AlarmsReport, LoopReport


def test_what_a_host_tells_of_its_alarms_is_plain() -> None:
    lobby = IdSpace("ROOM", "ROOM").from_name("lobby")
    view = AlarmsView(next=5, ringing=2, loops=[Loop(lobby, 90, 12)])
    assert alarms_report(view) == AlarmsReport(5, 2, [LoopReport("ROOM", str(lobby), "lobby", 90, 12)])
