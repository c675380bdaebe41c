"""Roost beside its peers: `python -m benchmarks table [ROW...]` fills the table, all rows or those.

Every row starts its servers, asks them in turn and keeps the medians over the rounds; the table is then made from all
rows that were ever measured, each from its last run.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence

from benchmarks import answers, plots, report, rounds
from benchmarks.answers import Measured, Table
from benchmarks.peers import PEERS
from benchmarks.rows import RATES, ROWS, Row

PAGE = report.RESULTS / "table.md"
DOCS_PAGE = report.ROOT / "docs" / "figures.md"
MARKS = ("<!-- the table: written by `python -m benchmarks table` -->", "<!-- the end of the table -->")
LOAD_MAX = 4.0
"""The load average above which somebody else was there: the server and the generator are two, and some servers more."""
QUICK = {"rounds": 1, "seconds": 0.5}
TITLES = {"roost": "roost", **{peer.name: peer.title for peer in PEERS}}
SHOWN = ("bare", "roost", "workerd", "picows", "uws", "node", "fastapi_redis", "durable_actors")


def main(arguments: list[str]) -> None:
    given = parsed(arguments)
    begin = time.monotonic()
    for row in given.rows:
        print(row.name, file=sys.stderr)
        measured = rounds.ask(row, given.rounds or row.rounds, given.seconds, given.peers)
        rounds.remember(row, measured)
    written(answers.read())
    print(f"{PAGE} after {time.monotonic() - begin:.0f} s")


def parsed(arguments: list[str]) -> argparse.Namespace:
    known = {row.name: row for row in ROWS}
    parser = argparse.ArgumentParser("python -m benchmarks table", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(known)}; without any: all")
    parser.add_argument("--rounds", type=int, help="samples of each server; by default those of the row, most have 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a sample of throughput (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, half a second: to see that everything runs")
    parser.add_argument("--peers", help="roost and only these, by commas: bare,workerd")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the pages from what is kept")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.rows if name not in known]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    if unknown := [name for name in (given.peers or "roost").split(",") if name not in TITLES]:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(TITLES)}")
    if given.quick:
        given.rounds, given.seconds = QUICK["rounds"], QUICK["seconds"]
    given.peers = set(given.peers.split(",")) if given.peers else None
    given.rows = [] if given.page else [known[name] for name in given.rows or known]
    return given


# -- the pages ---------------------------------------------------------------------------------------------------------


def written(table: Table) -> None:
    """Write `results/table.md`, the table of docs/figures.md, and the plots."""
    rows = [(row, table.rows[row.name]) for row in ROWS if row.name in table.rows]
    page = report.Page("table", "Roost beside its peers")
    page.text("What is measured how, and what it means, is told in [Figures](../../docs/figures.md).")
    page.table(*summary(rows))
    page.text(below(table, rows))
    for row, measured in rows:
        page.section(f"`{row.name}`: {row.title}")
        page.table(*details(row, measured))
        page.text(provenance(measured))
    page.write(with_surroundings=False)
    plots.draw(rows)
    if DOCS_PAGE.exists():
        DOCS_PAGE.write_text(with_table(DOCS_PAGE.read_text(encoding="utf-8"), table, rows), encoding="utf-8")


def with_table(page: str, table: Table, rows: list[tuple[Row, Measured]]) -> str:
    """A page whose text between the two marks is the table as it is now."""
    begin, end = MARKS
    inner = f"{begin}\n\n{report.table_lines(*summary(rows))}\n\n{below(table, rows)}\n\n{end}"
    return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: inner, page, flags=re.DOTALL)


def summary(rows: list[tuple[Row, Measured]]) -> tuple[list[str], list[list[str]]]:
    heads = ["work", "aim", "reached", "times workerd", *(TITLES[name] for name in SHOWN)]
    return heads, [[row.title, *roosts(row, measured), *cells(row, measured)] for row, measured in rows]


def roosts(row: Row, measured: Measured) -> list[str]:
    return [aim(row), reached(row, measured), times_workerd(row, measured)]


def cells(row: Row, measured: Measured) -> list[str]:
    return [cell(row, measured, name) for name in SHOWN]


def cell(row: Row, measured: Measured, name: str) -> str:
    answer = measured.servers.get(name)
    figure = measured.figure(name)
    if answer is not None and answer.failure:
        return "failed"
    if figure is None:
        return ""
    return f"**{shown(row, figure)}**" if name == "roost" else shown(row, figure)


def shown(row: Row, figure: float) -> str:
    """A figure with its unit."""
    if row.unit == "B":
        return f"{figure / 1024:.2f} KiB"
    if row.unit == "µs":
        return report.duration(figure)
    return f"{figure:.2f}" if row.unit == "x" else report.thousands(figure) + row.unit


def aim(row: Row) -> str:
    if row.aim is None:
        return ""
    return {
        "share": f"{row.aim.value:g} of bare C",
        "times": f"≤ {row.aim.value:g} x bare C",
        "at_least": f"≥ {shown(row, row.aim.value)}",
        "at_most": f"≤ {shown(row, row.aim.value)}",
    }[row.aim.kind]


def reached(row: Row, measured: Measured) -> str:
    """What roost reached, in the terms of the aim, and whether that is it."""
    ours, bare = measured.figure("roost"), measured.figure("bare")
    if row.aim is None or ours is None or (bare is None and row.aim.kind in ("share", "times")):
        return ""
    figure = ours / bare if bare is not None and row.aim.kind in ("share", "times") else ours
    held = figure >= row.aim.value if row.aim.kind in ("share", "at_least") else figure <= row.aim.value
    told = f"{figure:.2f}" if row.aim.kind in ("share", "times") else shown(row, figure)
    return f"{told} ({'yes' if held else 'no'})"


def times_workerd(row: Row, measured: Measured) -> str:
    """How many times better roost is; below 1 it is worse."""
    ours, theirs = measured.figure("roost"), measured.figure("workerd")
    if not ours or not theirs:
        return ""
    return f"{theirs / ours if row.less_is_better else ours / theirs:.1f}"


def details(row: Row, measured: Measured) -> tuple[list[str], list[list[str]]]:
    extra = ["p50", "p99", "cpu_us", "none_p99", "grown", "asleep_p50", "asleep_p99", "last_p50", "before", "after"]
    used = [name for name in extra if any(measured.figure(server, name) is not None for server in measured.servers)]
    heads = ["server", unit(row), "of bare C", "rounds", "lowest", "highest", *map(HEADS.get, used)]
    lines = [detail(row, measured, name, used) for name in SHOWN if name in measured.servers]
    return [str(head) for head in heads], lines


HEADS = {
    "p50": "p50",
    "p99": "p99",
    "cpu_us": "CPU of each",
    "none_p99": "p99 when all read",
    "grown": "memory grown by",
    "asleep_p50": "p50 asleep",
    "asleep_p99": "p99 asleep",
    "last_p50": "last member, p50",
    "before": "memory before",
    "after": "memory after",
}
BYTES = ("grown", "before", "after")


def unit(row: Row) -> str:
    return RATES.get(row.unit, {"B": "memory of each", "µs": "time", "x": "ratio"}.get(row.unit, row.unit))


def detail(row: Row, measured: Measured, name: str, used: Sequence[str]) -> list[str]:
    answer, bare = measured.servers[name], measured.figure("bare")
    if answer.failure:
        return [TITLES[name], f"failed: {answer.failure}", *[""] * (4 + len(used))]
    figures = [sample["figure"] for sample in answer.samples]
    middle = answer.median()
    assert middle is not None
    share = f"{middle / bare:.2f}" if bare else ""
    spread = [str(len(figures)), shown(row, min(figures)), shown(row, max(figures))]
    return [TITLES[name], shown(row, middle), share, *spread, *(extra(answer.median(part), part) for part in used)]


def extra(figure: float | None, name: str) -> str:
    if figure is None:
        return ""
    return f"{figure / 2**20:.1f} MiB" if name in BYTES else report.duration(figure)


def provenance(measured: Measured) -> str:
    lacking = "".join(f" Not measured: {lack}." for lack in measured.lacking)
    return (
        f"Measured {measured.at} at commit {measured.commit}, samples of {measured.seconds:g} s, load average at the "
        f"end {measured.load_average:.1f}.{lacking}"
    )


def below(table: Table, rows: list[tuple[Row, Measured]]) -> str:
    commits = sorted({measured.commit for _, measured in rows})
    times = sorted(measured.at for _, measured in rows)
    used = "; ".join(f"{TITLES[name]}: {told}" for name, told in table.versions.items() if told)
    lacking = sorted({lack for _, measured in rows for lack in measured.lacking})
    missing = "".join(f" Not measured: {lack}." for lack in lacking)
    when = f"from {times[0]} to {times[-1]}" if times else "never"
    return (
        f"Medians, measured {when} at commit {', '.join(commits)} on {table.machine}. Each server had one core with "
        f"all its processes, the generator the other. An empty cell: that server does no such work. Versions: {used}."
        f"{missing}{disturbed(rows)}"
    )


def disturbed(rows: list[tuple[Row, Measured]]) -> str:
    """A warning where a server and the generator were not alone on the machine."""
    busiest = max((measured.load_average for _, measured in rows), default=0.0)
    if busiest <= LOAD_MAX:
        return ""
    return f" **The machine had other work (load average up to {busiest:.0f}): what was measured then is no figure.**"
