"""`roost alarms`: which objects ring next, and which alarms have failed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from roost.cli.moment import shown
from roost.cli.object_name import object_of
from roost.cli.options import App, Data, existing_data
from roost.cli.ps import duration, table
from roost.clock import SystemClock
from roost.errors import InvalidArgumentError
from roost.node.alarm_list import AlarmList, GivenUp, NextAlarm, read_alarms
from roost.storage.alarms.agenda_file import FAILED_MAX
from roost.supervisor.control_socket import order


def alarms(
    app: App = None,
    data: Data = None,
    count: Annotated[int, typer.Option("--next", metavar="N", min=0, help="Show so many objects.")] = 20,
    failed: Annotated[int, typer.Option(metavar="N", min=0, help="Failed alarms to show, the latest.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    retry: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Let the failed alarms of this object ring again: BINDING:name, or its id."),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="With --retry: the alarm of this key alone.")] = None,
) -> None:
    """Show which objects ring next, and which alarms have failed.

    Whether roost runs or not: what its hosts wrote down is read, and no object is woken. With --retry, alarms that have
    failed ring again.
    """
    where = existing_data(app, data)
    if retry is not None:
        for alarm in ring_again(where, retry, key):
            sys.stdout.write(f"{alarm} rings again\n")
        return
    if key is not None:
        raise InvalidArgumentError("--key names an alarm for --retry ID")
    found = read_alarms(where, count=count, failed=failed)
    if json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    else:
        Console(highlight=False).print(render(found, SystemClock().now_ms()))


def ring_again(data: Path, name: str, key: str | None) -> list[str]:
    """Have the failed alarms of an object ring, or the one of that key; their names.

    Raises InvalidArgumentError when there is none, NotRunningError when no roost runs there.
    """
    one = object_of(name, data)
    lost = [lost for lost in read_alarms(data, count=0, failed=FAILED_MAX).failed if lost.id == str(one)]
    keys = list(dict.fromkeys(lost.key for lost in lost if key is None or lost.key == key))
    if not keys:
        which = "no failed alarm" if key is None else f"no failed alarm with the key {key!r}"
        raise InvalidArgumentError(f"{name} has {which}; `roost alarms` lists them")
    for again in keys:
        arguments = {"binding": one.binding, "id": str(one), "alarm": again or ""}
        asyncio.run(order(data, "retry_alarm", arguments))
    return ["the alarm" if again is None else f"the alarm {again!r}" for again in keys]


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
