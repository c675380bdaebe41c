"""`roost alarms`: which objects ring next, and which alarms have failed."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from roost.cli.moment import shown
from roost.cli.options import App, Data, data_of
from roost.cli.ps import duration, table
from roost.clock import SystemClock
from roost.node.alarm_list import AlarmList, GivenUp, NextAlarm, read_alarms


def alarms(
    app: App = None,
    data: Data = None,
    count: Annotated[
        int, typer.Option("--next", metavar="N", min=0, help="Objects to show, those that ring next.")
    ] = 20,
    failed: Annotated[int, typer.Option(metavar="N", min=0, help="Failed alarms to show, the latest.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show which objects ring next, and which alarms have failed.

    Whether roost runs or not: what its hosts wrote down is read. No object is woken by it.
    """
    found = read_alarms(data_of(app, data), count=count, failed=failed)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        Console(highlight=False).print(render(found, SystemClock().now_ms()))


def render(found: AlarmList, now_ms: int) -> RenderableType:
    """The list as tables."""
    counts = ", ".join(f"{number} of {binding}" for binding, number in found.objects.items())
    total = sum(found.objects.values())
    parts: list[RenderableType] = [Text(f"{total} {_objects(total)} alarms{f': {counts}' if counts else ''}")]
    if not found.complete:
        parts.append(Text("The list is being made anew from the objects' files; there may be more.", style="yellow"))
    if found.next:
        parts += [Text(), _next_table(found.next, now_ms)]
    if total > len(found.next):
        parts.append(Text(f"and {total - len(found.next)} more; --next N shows more, --json all of them", style="dim"))
    if found.failed:
        parts += [Text(), Text("Failed:", style="bold"), _failed_table(found.failed)]
    return Group(*parts)


def _objects(number: int) -> str:
    return "object has" if number == 1 else "objects have"


def _next_table(shown: list[NextAlarm], now_ms: int) -> RenderableType:
    rows = table("object", "rings", "in", "due", "")
    for one in shown:
        why = f"{one.tries} attempts failed" if one.tries else ""
        rows.add_row(_object(one), moment(one.rings), until(one.rings, now_ms), moment(one.due), why)
    return rows


def _failed_table(shown: list[GivenUp]) -> RenderableType:
    rows = table("object", "alarm", "was due", "failed", "error")
    for one in shown:
        rows.add_row(_object(one), one.key or "", moment(one.scheduled), moment(one.failed_at), one.error)
    return rows


def _object(one: NextAlarm | GivenUp) -> str:
    return f"{one.binding}:{one.name}" if one.name is not None else one.id


def moment(ms: int) -> str:
    """A time for people to read; an alarm may be set beyond all calendars."""
    try:
        return shown(ms)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"


def until(ms: int, now_ms: int) -> str:
    """How long that is from now: `3 min`, or `now`."""
    return duration((ms - now_ms) / 1000) if ms > now_ms else "now"
