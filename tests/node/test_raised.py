from __future__ import annotations

from pathlib import Path

import pytest

from roost.config import Settings
from roost.errors import AppLoadError
from roost.node.host_process import app_of
from roost.node.raised import as_text, raised_from


def load_error(directory: Path, source: str) -> BaseException:
    app = directory / "app.py"
    app.write_text(source)
    with pytest.raises(AppLoadError) as caught:
        app_of(Settings(app=str(app), data=""))
    assert caught.value.__cause__ is not None
    return caught.value.__cause__


def test_only_frames_of_user_code_are_kept(tmp_path: Path) -> None:
    raised = raised_from(load_error(tmp_path, "def f():\n    return 1 / 0\n\nf()\n"))
    assert (raised.kind, raised.message) == ("ZeroDivisionError", "division by zero")
    own = [(frame.file, frame.line, frame.name) for frame in raised.frames if frame.file == str(tmp_path / "app.py")]
    assert own == [(str(tmp_path / "app.py"), 4, "<module>"), (str(tmp_path / "app.py"), 2, "f")]
    assert not any("roost/host" in frame.file or "importlib" in frame.file for frame in raised.frames)


def test_a_syntax_error_says_where_it_is(tmp_path: Path) -> None:
    raised = raised_from(load_error(tmp_path, "x = 1\ny = (\n"))
    assert raised.syntax is not None
    file, line, column, text = raised.syntax
    assert (file, line, column, text.strip()) == (str(tmp_path / "app.py"), 2, 5, "y = (")


def test_causes_come_first(tmp_path: Path) -> None:
    source = "try:\n    {}['x']\nexcept KeyError as error:\n    raise ValueError('no x') from error\n"
    raised = raised_from(load_error(tmp_path, source))
    assert raised.cause is not None
    assert raised.cause.kind == "KeyError"
    lines = as_text(raised).splitlines()
    assert lines.index("KeyError: 'x'") < lines.index("which led to") < lines.index("ValueError: no x")


def test_a_cause_that_is_suppressed_is_not_shown(tmp_path: Path) -> None:
    source = "try:\n    {}['x']\nexcept KeyError:\n    raise ValueError('no x') from None\n"
    assert raised_from(load_error(tmp_path, source)).cause is None


def test_causes_that_lead_round_in_a_circle_end() -> None:
    error = ValueError("round")
    other = KeyError("and round")
    error.__cause__, other.__cause__ = other, error
    assert as_text(raised_from(error)).count("round") == 11
