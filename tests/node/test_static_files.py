from __future__ import annotations

from pathlib import Path

import pytest

from roost.config import Assets, Settings
from roost.errors import ConfigurationError
from roost.node.static_files import assets_of


async def test_the_settings_choose_the_files(tmp_path: Path) -> None:
    (tmp_path / "start.html").write_text("start")
    (tmp_path / "gone.html").write_text("gone")
    chosen = Assets(directory=str(tmp_path), index="start.html", not_found="gone.html")
    assets = assets_of(Settings(app="", data="", assets=chosen))
    assert assets is not None
    assert await (await assets.fetch("http://x/")).text() == "start"


def test_without_such_settings_there_are_none_and_wrong_ones_are_an_error(tmp_path: Path) -> None:
    assert assets_of(Settings(app="", data="")) is None
    with pytest.raises(ConfigurationError, match="is not a directory"):
        assets_of(Settings(app="", data="", assets=Assets(directory=str(tmp_path / "none"))))
