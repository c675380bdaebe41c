"""What was acknowledged is there after every process was killed at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.end_to_end.roosts import APPS, receive_json, roost


async def test_the_board_is_there_after_everything_was_killed(tmp_path: Path) -> None:
    told: list[Any] = []
    for life in range(3):
        async with roost(APPS / "ledger.py", tmp_path / "data") as running, running.connect("/") as socket:
            stored = (await running.get("/stored"))["stored"]
            assert stored == told
            for n in range(20):
                await socket.send(json.dumps({"client": f"life {life}", "n": n}))
                told.append(await receive_json(socket))
            await running.kill_everything()
    assert [entry["seq"] for entry in told] == list(range(1, 61))
