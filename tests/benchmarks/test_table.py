from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.answers import Answer, Measured, Table
from benchmarks.rows import ROWS

from benchmarks import answers, plots, report, table

BY_NAME = {row.name: row for row in ROWS}


def measured(failure: str = "", **figures: float) -> Measured:
    servers = {name: Answer([{"figure": figure, "took": 1.0}]) for name, figure in figures.items()}
    if failure:
        servers["node"] = Answer(failure=failure)
    return Measured("2026-01-01 00:00 UTC", "abc", 0.1, 1.0, servers)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(answers, "FILE", tmp_path / "table.json")
    monkeypatch.setattr(plots, "FOLDER", tmp_path / "figures")
    monkeypatch.setattr(table, "DOCS_PAGE", tmp_path / "figures.md")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "figures", "expected"),
    [
        ("echo-1", {"roost": 45.0, "bare": 100.0}, "0.45 (yes)"),
        ("echo-1", {"roost": 39.0, "bare": 100.0}, "0.39 (no)"),
        ("idle-room", {"roost": 1024.0}, "1.00 KiB (yes)"),
        ("idle-room", {"roost": 15360.0}, "15.00 KiB (no)"),
        ("cold", {"roost": 3999.0}, "3 999/s (no)"),
        ("wake", {"roost": 199.0}, "199 µs (yes)"),
        ("crowd-1", {"roost": 160_000.0, "bare": 100_000.0}, "1.60 (no)"),
        ("slow-reader", {"roost": 1.05}, "1.05 (yes)"),
        ("echo-1", {"bare": 100.0}, ""),
        ("echo-1", {"roost": 1.0}, ""),
    ],
)
def test_what_was_reached_is_told_in_the_terms_of_the_aim(name: str, figures: dict[str, float], expected: str) -> None:
    assert table.reached(BY_NAME[name], measured("", **figures)) == expected


def test_better_than_workerd_is_above_one_also_where_less_is_better() -> None:
    assert table.times_workerd(BY_NAME["http"], measured(roost=10.0, workerd=4.0)) == "2.5"
    assert table.times_workerd(BY_NAME["wake"], measured(roost=200.0, workerd=900.0)) == "4.5"
    assert table.times_workerd(BY_NAME["http"], measured(roost=10.0)) == ""


def test_a_figure_is_the_median_of_its_samples() -> None:
    answer = Answer([{"figure": 1.0}, {"figure": 9.0}, {"figure": 2.0}])
    assert answer.median() == 2.0
    assert answer.median("p99") is None


def test_the_page_has_every_row_that_was_measured_and_says_what_failed(folders: Path) -> None:
    row = BY_NAME["room-100-1"]
    table.written(Table({row.name: measured("came twice", roost=9.0, bare=10.0)}, "a machine", {"roost": "x 1"}))
    page = (folders / "table.md").read_text()
    assert f"| {row.title} | 0.9 of bare C | 0.90 (yes) |  | 10/s | **9/s** |" in page
    assert "failed: came twice" in page
    assert "a machine" in page
    assert BY_NAME["wake"].title not in page


def test_the_page_warns_of_a_machine_that_had_other_work(folders: Path) -> None:
    quiet, busy = measured(roost=1.0), measured(roost=1.0)
    busy.load_average = 12.0
    table.written(Table({"http": quiet}, "a machine"))
    assert "load average up to" not in (folders / "table.md").read_text()
    table.written(Table({"http": quiet, "cold": busy}, "a machine"))
    assert "load average up to 12" in (folders / "table.md").read_text()


def test_the_table_of_the_docs_is_written_between_its_marks(folders: Path) -> None:
    begin, end = table.MARKS
    table.DOCS_PAGE.write_text(f"# Figures\n\n{begin}\nold\n{end}\n\nAfter.\n")
    row = BY_NAME["http"]
    table.written(Table({row.name: measured(roost=2.0, bare=10.0)}, "a machine"))
    page = table.DOCS_PAGE.read_text()
    assert row.title in page
    assert "old" not in page
    assert page.startswith("# Figures\n")
    assert page.endswith("\n\nAfter.\n")


def test_what_is_kept_comes_back(folders: Path) -> None:
    kept = Table({"echo-1": measured(roost=1.0)}, "a machine", {"roost": "x"})
    answers.write(kept)
    assert answers.read() == kept


def test_nothing_is_kept_at_first(folders: Path) -> None:
    assert answers.read() == Table()


def test_an_unknown_row_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        table.parsed(["echo-2"])
    assert "no such row: echo-2; there are echo-1, echo-16" in capsys.readouterr().err


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        table.parsed(["--peers", "bare,ngnix"])
    assert "no such peer: ngnix" in capsys.readouterr().err


def test_all_rows_are_asked_by_default_and_none_for_the_page_alone() -> None:
    assert table.parsed([]).rows == list(ROWS)
    assert table.parsed(["--page"]).rows == []
    assert [row.name for row in table.parsed(["wake", "cold"]).rows] == ["wake", "cold"]
