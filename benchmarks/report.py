"""A benchmark's answer as a page: the table, what was measured how, the machine, the commit and the versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("uvloop", "picows", "msgspec", "apsw", "httptools")
PINNED = "The server, all its processes together, was pinned to one core and the generator to another (`taskset`)."
CORES = (
    PINNED + " So roost's processes share what the peer's one process has for itself; those on both cores have the "
    "generator's too. CPU is the processor time of the server, divided by the messages that arrived. Each figure is "
    "that of the best of three rounds, each with fresh servers, taken in turn: what was slower was disturbed."
)


class Page:
    """What a question writes down, in order."""

    def __init__(self, name: str, question: str) -> None:
        self.name = name
        self._parts = [f"# {question}"]

    def text(self, paragraph: str) -> None:
        self._parts.append(paragraph)

    def section(self, title: str) -> None:
        self._parts.append(f"## {title}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self._parts.append(table_lines(heads, rows))

    def write(self, *, with_surroundings: bool = True) -> Path:
        """Write `results/NAME.md` and return its path; by default it ends with what it was measured on, now."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.md"
        end = [surroundings()] if with_surroundings else []
        path.write_text("\n\n".join([*self._parts, *end]) + "\n", encoding="utf-8")
        return path


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first column to the left, the others to the right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def surroundings() -> str:
    """When, on what and of which commit a figure is."""
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC at commit {commit()} on {machine()}, {versions()}. "
        f"Load average at the end: {os.getloadavg()[0]:.1f}."
    )


def machine() -> str:
    system = f"{platform.system()} {platform.release()}"
    return f"{processor()}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def versions() -> str:
    """Of what roost stands on."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def commit() -> str:
    """The commit of the working tree, marked where files of the source differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head} with changes" if _git("status", "--porcelain", "--untracked-files=no", "--", "src") else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def thousands(number: float) -> str:
    return f"{number:,.0f}".replace(",", " ")


def share(part: float, whole: float) -> str:
    """A ratio as a percentage."""
    return f"{100 * part / whole:.0f} %"


def duration(microseconds: float) -> str:
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds:.0f} µs"
