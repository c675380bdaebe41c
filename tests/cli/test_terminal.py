from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from roost.cli.terminal import Terminal, tables
from roost.supervisor.messages import Failed, Frame, Raised


@pytest.fixture
def printed() -> StringIO:
    return StringIO()


@pytest.fixture
def terminal(printed: StringIO) -> Terminal:
    return Terminal(Console(file=printed, width=100, highlight=False))


def test_the_address_goes_to_standard_output_and_all_else_beside_it(
    terminal: Terminal, printed: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.note("app.py changed")
    terminal.warn("host 0 was killed by SIGKILL; starting another")
    terminal.serving("app.py", "http://127.0.0.1:8787")
    assert capsys.readouterr().out == "roost: serving app.py on http://127.0.0.1:8787\n"
    assert printed.getvalue() == "roost: app.py changed\nroost: host 0 was killed by SIGKILL; starting another\n"


def test_tables_are_not_folded_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", StringIO())
    assert tables().width == 1000
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    assert tables().width == 70
    assert tables(folded=False).width == 1000


def test_a_line_is_a_line_however_long_and_whatever_is_in_it(terminal: Terminal, printed: StringIO) -> None:
    terminal.warn("[red]x[/red] " * 40)
    assert printed.getvalue() == f"roost: {'[red]x[/red] ' * 40}\n"


def test_a_failure_shows_the_source_where_it_was_raised(terminal: Terminal, printed: StringIO, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("a = 1\nb = missing\n")
    raised = Raised("NameError", "name 'missing' is not defined", [Frame(str(app), 2, "<module>")])
    terminal.failed(Failed("app", "app.py does not import", raised), "the previous version goes on serving")
    text = printed.getvalue()
    assert "2 b = missing" in text
    assert "NameError: name 'missing' is not defined" in text
    assert text.endswith("roost: app.py does not import\nroost: the previous version goes on serving\n")


def test_a_syntax_error_points_at_the_place(terminal: Terminal, printed: StringIO, tmp_path: Path) -> None:
    raised = Raised("SyntaxError", "'(' was never closed", [], (str(tmp_path / "app.py"), 2, 5, "y = (\n"))
    terminal.error(Failed("app", "app.py does not import", raised))
    text = printed.getvalue()
    assert "y = (" in text
    assert "▲" in text
    assert "SyntaxError: '(' was never closed" in text


def test_a_cause_is_shown_before_what_it_led_to(terminal: Terminal, printed: StringIO) -> None:
    raised = Raised("ValueError", "second", cause=Raised("KeyError", "first"))
    terminal.error(Failed("app", "no", raised))
    text = printed.getvalue()
    assert text.index("KeyError: first") < text.index("direct cause") < text.index("ValueError: second")


def test_a_failure_without_a_traceback_is_one_line(terminal: Terminal, printed: StringIO) -> None:
    terminal.error(Failed("data", "DIR is in use"))
    assert printed.getvalue() == "roost: DIR is in use\n"
