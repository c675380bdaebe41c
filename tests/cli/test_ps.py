from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from roost.cli.ps import duration, render, with_alarms, with_quarantine
from roost.meter import Meter
from roost.storage.recovery.quarantine import Case
from roost.supervisor.report import (
    AlarmsReport,
    BackupReport,
    GatewayReport,
    HostReport,
    LoopReport,
    ObjectReport,
    ProcessReport,
    SystemReport,
)


def an_object(name: str, *, state: str = "awake", sockets: int = 0, pinned_by: list[str] | None = None) -> ObjectReport:
    meter = Meter()
    meter.event("fetch")
    meter.event("socket_message")
    meter.turns, meter.active_ms, meter.messages_in, meter.messages_out = 7, 1500.0, 3, 30
    return ObjectReport("ROOM", "ab" * 32, name, state, sockets, pinned_by or [], 0.35, meter.snapshot())


def shown(*processes: ProcessReport, objects_max: int = 50) -> str:
    out = StringIO()
    report = SystemReport("app.py", "http://x", "/data", 1, list(processes))
    Console(file=out, width=200).print(render(report, objects_max))
    return out.getvalue()


def host(*objects: ObjectReport) -> ProcessReport:
    return ProcessReport("host", 0, 11, "serving", 90.0, host=HostReport("app", list(objects), 1, 40 * 2**20))


def test_processes_are_shown_with_what_they_hold() -> None:
    gateway = ProcessReport("gateway", 0, 12, "serving", 1.0, gateway=GatewayReport(1, 1, 2**20))
    text = shown(host(an_object("a"), an_object("b", state="hibernated")), gateway)
    assert text.startswith("app.py on http://x, data in /data\n")
    lines = [line.split() for line in text.splitlines()]
    holds = "1 object awake, 1 asleep with sockets"
    assert ["host", "0", "11", "serving", "2", "min", "40", "MiB", *holds.split()] in lines
    assert ["gateway", "0", "12", "serving", "1.0", "s", "1", "MiB", "1", "socket"] in lines
    parked = ProcessReport("gateway", 1, 13, "serving", 1.0, gateway=GatewayReport(9, 1, 2**20, 7))
    assert "9 sockets, 7 parked" in shown(parked)


def test_a_process_that_does_not_answer_is_shown_so() -> None:
    text = shown(ProcessReport("host", 0, 11, "silent", 1.0), ProcessReport("host", 1, 0, "gone", 0.0))
    assert "silent" in text
    assert "gone" in text
    assert "object " not in text


def test_objects_say_why_they_are_awake_and_what_they_used() -> None:
    lines = shown(host(an_object("a", sockets=2, pinned_by=["active WebSocket", "1 event under way"]))).splitlines()
    row = next(line for line in lines if line.startswith("ROOM a"))
    assert row.split() == [
        "ROOM",
        "a",
        "0",
        "awake",
        "2",
        "2",
        "7",
        "1.5",
        "s",
        "3",
        "/",
        "30",
        "active",
        "WebSocket,",
        "1",
        "event",
        "under",
        "way",
    ]
    assert "idle for 350 ms" in shown(host(an_object("a")))


def test_an_object_without_a_name_is_shown_by_its_id() -> None:
    import msgspec

    assert "ROOM abababababab " in shown(host(msgspec.structs.replace(an_object("a"), name=None)))


def test_the_awake_come_first_and_what_is_left_out_is_counted() -> None:
    objects = [
        an_object("asleep", state="hibernated", sockets=9),
        an_object("few", sockets=1),
        an_object("many", sockets=5),
    ]
    text = shown(host(*objects), objects_max=2)
    assert text.index("ROOM many") < text.index("ROOM few")
    assert "ROOM asleep" not in text
    assert "and 1 more; --json lists all" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.35, "350 ms"), (1.0, "1.0 s"), (59.9, "59.9 s"), (90, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_a_duration_has_two_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def a_backup(**fields: object) -> ProcessReport:
    report = {"target": "s3://b/p", "doing": "waiting", "behind_seconds": 2.5, "shipped_bytes": 1, "snapshot": "1"}
    report |= {"error": "", "resident_bytes": 2**20} | fields
    return ProcessReport("backup", 0, 13, "serving", 1.0, backup=BackupReport(**report))  # type: ignore[arg-type]


def test_a_backup_is_shown_with_how_far_behind_it_is() -> None:
    assert "s3://b/p is 2.5 s behind, waiting" in shown(a_backup())
    assert "s3://b/p is 2.5 s behind, taking a snapshot" in shown(a_backup(doing="snapshot"))
    assert "behind, waiting, 1 damaged object not as of now" in shown(a_backup(damaged=["ROOM " + "ab" * 32]))
    failing = a_backup(doing="failing", behind_seconds=200.0, error="s3://b/p cannot be reached: timed out")
    assert "s3://b/p is 3 min behind: s3://b/p cannot be reached: timed out" in shown(failing)


def test_objects_show_their_next_alarm_and_those_that_failed() -> None:
    report = SystemReport("app.py", "http://x", "/data", 1, [host(an_object("a")), host(an_object("b"))])
    told = with_alarms(report, {"ab" * 32: (95_000, 2)})
    assert [one.alarm for process in told.processes if process.host for one in process.host.objects] == [95_000, 95_000]
    out = StringIO()
    Console(file=out, width=250).print(render(told, now_ms=5_000))
    row = next(line for line in out.getvalue().splitlines() if line.startswith("ROOM a")).split()
    assert row[12:16] == ["in", "2", "min", "2"]


def test_objects_that_ring_without_end_are_named() -> None:
    alarms = AlarmsReport(None, 2, [LoopReport("ROOM", "ab" * 32, None, 120, 12)])
    told = HostReport("app", [], 1, 2**20, alarms)
    text = shown(ProcessReport("host", 0, 11, "serving", 90.0, host=told))
    assert "0 objects awake, 2 alarms ringing" in text
    assert "ROOM abababababab rings without end: 120 alarms within a minute, for 12 minutes" in text


def test_damaged_objects_are_told_and_how_to_mend_them() -> None:
    report = SystemReport("app.py", "http://x", "/data", 1, [host()])
    report = with_quarantine(report, [Case(key="ab" * 32, binding="ROOM", reason="page 3 is not what was written")])
    out = StringIO()
    Console(file=out, width=200).print(render(report))
    assert f"ROOM {'ab' * 32} is damaged: page 3 is not what was written; mend it with roost repair" in out.getvalue()
    assert report.quarantined[0].id == "ab" * 32
