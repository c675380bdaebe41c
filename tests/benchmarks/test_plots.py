from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.answers import Answer, Measured
from benchmarks.rows import ROWS, Row

from benchmarks import plots

BY_NAME = {row.name: row for row in ROWS}
SVG = "{http://www.w3.org/2000/svg}"


def measured(**figures: float) -> Measured:
    servers = {name: Answer([{"figure": figure}]) for name, figure in figures.items()}
    return Measured("2026-01-01 00:00 UTC", "abc", 0.1, 1.0, servers)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "FOLDER", tmp_path / "figures")


def drawn(rows: list[tuple[Row, Measured]], name: str) -> ElementTree.Element:
    plots.draw(rows)
    return ElementTree.parse(plots.FOLDER / f"{name}.svg").getroot()


def test_every_rate_has_a_dot_and_roosts_is_the_last() -> None:
    picture = drawn([(BY_NAME["echo-1"], measured(roost=300.0, bare=1000.0, picows=400.0))], "rates")
    told = [dot.findtext(f"{SVG}title") for dot in picture.iter(f"{SVG}circle") if dot.find(f"{SVG}title") is not None]
    assert told == ["bare C: 1 000/s", "picows: 400/s", "roost: 300/s"]


def test_one_rate_alone_can_be_drawn() -> None:
    picture = drawn([(BY_NAME["echo-1"], measured(roost=100.0))], "rates")
    assert len(list(picture.iter(f"{SVG}circle"))) == 2  # in the legend and in its row


def test_more_memory_is_a_longer_bar() -> None:
    picture = drawn([(BY_NAME["idle-room"], measured(roost=1500.0, workerd=60_000.0))], "memory")
    ours, theirs = (float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect"))
    assert ours < theirs


def test_the_share_of_the_bare_server_is_drawn_with_its_aim() -> None:
    picture = drawn([(BY_NAME["echo-1"], measured(roost=300.0, bare=1000.0))], "shares")
    assert [line.attrib["class"] for line in picture.iter(f"{SVG}line")].count("aim") == 1


def test_a_plot_of_which_nothing_was_measured_is_left_as_it_is() -> None:
    plots.draw([])
    assert list(plots.FOLDER.iterdir()) == []
