"""The command line as far as it needs no other process; `tests/end_to_end` has the rest."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from roost.cli.main import cli, dev, main, run, version


def plain(text: str) -> str:
    """Without the frame and the line breaks of a help page."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = plain(capsys.readouterr().out)
    assert "Durable objects for Python" in text
    for command in (
        "run Serve an app.",
        "dev Serve an app while you write it",
        "ps Show what runs",
        "new Make a small",
    ):
        assert command in text
    assert "Settings come from [tool.roost] in pyproject.toml" in text


@pytest.mark.parametrize("command", ["run", "dev"])
def test_help_of_a_command_names_its_flags_with_their_defaults(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    text = plain(capsys.readouterr().out)
    for flag, default in [
        ("--host", "127.0.0.1"),
        ("--port", "8787"),
        ("--gateways", "1"),
        ("--hosts", "1"),
        ("--data", ".roost beside the app"),
        ("--log-level", "info"),
    ]:
        assert re.search(rf"{flag} [^\[]*\[{re.escape(default)}\]", text), flag


def test_the_version_is_that_of_the_package(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2.3")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "roost 1.2.3\n"


def test_a_source_tree_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    assert version() == "from a source tree that is not installed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["run", "--port", "x"], "Invalid value for '--port'"),
        (["run", "--prot", "1"], "No such option: --prot"),
    ],
)
def test_a_wrong_command_line_is_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in plain(capsys.readouterr().err)


def test_a_wrong_setting_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "app.py"
    app.write_text("")
    assert main(["run", str(app), "--port", "65536"]) == 2
    expected = "roost: the command line: `port` must be a whole number from 0 to 65535, got 65536\n"
    assert capsys.readouterr().err == expected
    assert main(["dev", str(tmp_path / "gone.py")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_ps_without_a_roost_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"roost: no roost runs on the data directory {tmp_path}")


def test_new_says_what_it_made_and_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "x")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(tmp_path / "x" / "app.py")
    assert lines[-1] == f"Now: roost dev {tmp_path / 'x'}"
    assert main(["new", str(tmp_path / "x")]) == 2


def test_it_is_a_module_that_runs() -> None:
    ran = subprocess.run([sys.executable, "-m", "roost", "--version"], capture_output=True, check=False)
    assert ran.returncode == 0
    assert ran.stdout.startswith(b"roost ")


def test_the_page_on_the_command_line_has_every_command_and_flag() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    callbacks = [(command.name, command.callback) for command in cli.registered_commands if command.callback]
    commands = {name or callback.__name__.replace("_", "-") for name, callback in callbacks}
    assert set(re.findall(r"^\| `roost (\w[\w-]*)", page, re.MULTILINE)) == commands
    flags = {f"--{name.replace('_', '-')}" for name in inspect.signature(run).parameters if name != "app"}
    section = page.partition("## `roost run`")[0]
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", section, re.MULTILINE)) == flags
    assert inspect.signature(run).parameters == inspect.signature(dev).parameters
