"""What was measured, as it is kept between runs: `results/table.json`, from which the table and the plots are made."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec

from benchmarks.samples import Sample

FILE = Path(__file__).parent / "results" / "table.json"


class Answer(msgspec.Struct):
    """Of one server to one row: a sample for each round, or why there is none."""

    samples: list[Sample] = []
    failure: str = ""

    def median(self, name: str = "figure") -> float | None:
        """Over the rounds; None when there was none."""
        found = [sample[name] for sample in self.samples if name in sample]
        return statistics.median(found) if found and not self.failure else None


class Measured(msgspec.Struct):
    """A row, all of whose servers were asked in one run, in turn."""

    at: str
    commit: str
    load_average: float
    seconds: float
    servers: dict[str, Answer]
    lacking: list[str] = []

    def figure(self, server: str, name: str = "figure") -> float | None:
        answer = self.servers.get(server)
        return answer.median(name) if answer else None


class Table(msgspec.Struct):
    """All rows that were measured so far, each in its last run."""

    rows: dict[str, Measured] = {}
    machine: str = ""
    versions: dict[str, str] = {}


def read() -> Table:
    return msgspec.json.decode(FILE.read_bytes(), type=Table) if FILE.exists() else Table()


def write(table: Table) -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
