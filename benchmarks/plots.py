"""The plots of docs/figures.md, drawn from the table: rates beside each other, roost's share of the limit, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

from benchmarks import report
from benchmarks.answers import Measured
from benchmarks.peers import PEERS
from benchmarks.rows import Row

FOLDER = report.ROOT / "docs" / "figures"
TITLES = {"roost": "roost", **{peer.name: peer.title.replace("`", "") for peer in PEERS}}
COLOURS = {
    "roost": "#d9480f",
    "bare": "#868e96",
    "workerd": "#1c7ed6",
    "picows": "#2f9e44",
    "uws": "#9c36b5",
    "node": "#0c8599",
    "fastapi_redis": "#e8a317",
    "durable_actors": "#c2255c",
}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #212529 }
.small { font-size: 11px; fill: #868e96 }
.line { stroke: #adb5bd; stroke-opacity: .5 }
.aim { stroke: #212529; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #f1f3f5 } .aim { stroke: #f1f3f5 } }
"""
WIDTH, LEFT, RIGHT, STEP, TOP = 860, 260, 90, 30, 34
Rows = list[tuple[Row, Measured]]


class Scale(NamedTuple):
    """Where a value stands between the two edges of a plot."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, here = self.low, self.high, value
        if self.logarithmic:
            low, high, here = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return LEFT + (here - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        if self.logarithmic:
            return [10.0**power for power in range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)]
        return [self.low + (self.high - self.low) * fifth / 5 for fifth in range(6)]


def draw(rows: Rows) -> None:
    """Write the plots of what was measured; one for which nothing was is left as it is."""
    FOLDER.mkdir(exist_ok=True)
    for name, drawn in {"rates": rates(rows), "shares": shares(rows), "memory": memory(rows)}.items():
        if drawn:
            (FOLDER / f"{name}.svg").write_text(drawn, encoding="utf-8")


def rates(rows: Rows) -> str | None:
    """A dot for each server in each row that has a rate."""
    rated = [(row, found) for row, measured in rows if row.unit == "/s" and (found := figures(measured))]
    if not rated:
        return None
    values = [value for _, found in rated for value in found.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = Scale(10.0**low, 10.0 ** max(high, low + 1), logarithmic=True)
    parts = [*legend(name for name in COLOURS if any(name in found for _, found in rated))]
    for number, (row, found) in enumerate(rated):
        y = line_of(number, 1)
        parts += [
            label(row.short, row.title, y),
            f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>',
        ]
        parts += [dot(scale.at(value), y, name, value) for name, value in sorted(found.items(), key=last_roost)]
    return picture("Messages, requests or sockets a second", scale, parts, len(rated) + 1, report.thousands)


def shares(rows: Rows) -> str | None:
    """A bar for roost in each row with a rate, as a share of the bare server, and a mark for what it is to reach."""
    found = [(row, share) for row, measured in rows if row.unit == "/s" and (share := share_of_bare(measured))]
    if not found:
        return None
    scale = Scale(0, max(1.0, *(share for _, share in found)))
    parts = []
    for number, (row, share) in enumerate(found):
        parts += bar(row.short, row.title, line_of(number, 0), scale.at(share), "roost", f"{share:.2f}")
        if row.aim is not None and row.aim.kind == "share":
            x, y = scale.at(row.aim.value), line_of(number, 0)
            parts.append(f'<line class="aim" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 12}" y2="{y + 12}"/>')
    title = "Roost's share of what a bare server in C does; the mark is the aim"
    return picture(title, scale, parts, len(found), "{:.1f}".format)


def memory(rows: Rows) -> str | None:
    """A bar for each server in each row about memory."""
    bars = [
        (row, name, value) for row, measured in rows if row.unit == "B" for name, value in figures(measured).items()
    ]
    if not bars:
        return None
    scale = Scale(100, 10 ** math.ceil(math.log10(max(value for _, _, value in bars))), logarithmic=True)
    parts = []
    for number, (row, name, value) in enumerate(bars):
        parts += bar(
            f"{row.short}: {TITLES[name]}", row.title, line_of(number, 0), scale.at(value), name, kibibytes(value)
        )
    return picture("Memory of each of 10 000 idle sockets", scale, parts, len(bars), kibibytes)


# -- the parts of a picture --------------------------------------------------------------------------------------------


def figures(measured: Measured) -> dict[str, float]:
    found = {name: measured.figure(name) for name in measured.servers}
    return {name: value for name, value in found.items() if value is not None and value > 0}


def share_of_bare(measured: Measured) -> float | None:
    ours, bare = measured.figure("roost"), measured.figure("bare")
    return ours / bare if ours and bare else None


def last_roost(server: tuple[str, float]) -> bool:
    """Roost's dot is drawn above the others."""
    return server[0] == "roost"


def line_of(number: int, above: int) -> int:
    return TOP + STEP * (number + above) + STEP // 2


def label(text: str, whole: str, y: int) -> str:
    return f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end"><title>{escape(whole)}</title>{escape(text)}</text>'


def dot(x: float, y: int, name: str, value: float) -> str:
    told = escape(f"{TITLES[name]}: {report.thousands(value)}/s")
    radius = 7 if name == "roost" else 5
    return f'<circle cx="{x:.1f}" cy="{y}" r="{radius}" fill="{COLOURS[name]}"><title>{told}</title></circle>'


def bar(text: str, whole: str, y: int, end: float, name: str, value: str) -> list[str]:
    width = max(1.0, end - LEFT)
    drawn = f'<rect x="{LEFT}" y="{y - 8}" width="{width:.1f}" height="16" fill="{COLOURS[name]}"/>'
    return [label(text, whole, y), drawn, f'<text x="{LEFT + width + 6:.1f}" y="{y + 4}">{escape(value)}</text>']


def legend(names: Iterable[str]) -> list[str]:
    parts, x = [], 20
    for name in names:
        parts += [f'<circle cx="{x}" cy="{TOP + 12}" r="5" fill="{COLOURS[name]}"/>']
        parts += [f'<text x="{x + 10}" y="{TOP + 16}">{escape(TITLES[name])}</text>']
        x += 34 + 8 * len(TITLES[name])
    return parts


def picture(title: str, scale: Scale, parts: list[str], lines: int, told: Callable[[float], str]) -> str:
    bottom = TOP + STEP * lines
    axis = [
        f'<line class="line" x1="{scale.at(tick):.1f}" x2="{scale.at(tick):.1f}" y1="{TOP + 6}" y2="{bottom}"/>'
        f'<text class="small" x="{scale.at(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{told(tick)}</text>'
        for tick in scale.ticks()
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 30}" role="img">'
    heading = f'<title>{escape(title)}</title><style>{STYLE}</style><text x="20" y="20">{escape(title)}</text>'
    return "\n".join([head, heading, *axis, *parts, "</svg>\n"])


def kibibytes(value: float) -> str:
    return f"{value / 1024:.1f} KiB"
