from __future__ import annotations

from io import StringIO

from rich.console import Console

from roost.cli.progress import progress


def test_nothing_is_told_where_nobody_looks() -> None:
    out = StringIO()
    with progress("copying", Console(file=out)) as told:
        told("1 object")
    assert out.getvalue() == ""


def test_on_a_terminal_there_is_a_line() -> None:
    out = StringIO()
    with progress("copying", Console(file=out, force_terminal=True)) as told:
        told("1 object")
    assert "copying" in out.getvalue()
