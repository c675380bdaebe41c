"""Browser tests are left out only where somebody says so, and never silently."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: needs Chromium; ROOST_NO_BROWSER=1 leaves these tests out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("ROOST_NO_BROWSER") != "1":
        return
    left_out = [item for item in items if item.get_closest_marker("browser")]
    items[:] = [item for item in items if not item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if os.environ.get("ROOST_NO_BROWSER") == "1":
        terminalreporter.write_line("NOTICE: the browser tests did not run, because ROOST_NO_BROWSER=1 is set.")
