"""The meter tells what the storage did, with the real storage underneath."""

from __future__ import annotations

from typing import Any

from roost.objects.web_socket import WebSocket

from .harness import MakeHarness, Scripted, settle

PAGE = 4096


async def test_rows_commits_and_size_are_those_of_the_storage(live: MakeHarness) -> None:
    async def fill(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put({"a": 1, "b": 2, "c": 3})
        await self.ctx.storage.get("a")
        await self.ctx.storage.delete(["c", "none"])

    async def again(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)
        await self.ctx.storage.list()

    async def grow(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", bytes(10 * PAGE))

    room = live(Scripted, env={"fill": fill, "again": again, "grow": grow})
    held = room.hold()
    room.message(held, "fill")
    room.alive.settle_meter()
    meter = room.meter
    assert (meter.rows_written, meter.rows_read, meter.commits) == (4, 1, 1)
    assert meter.stored_bytes == 3 * PAGE
    room.message(held, "again")
    room.durable()
    room.alive.settle_meter()
    assert (meter.rows_written, meter.rows_read, meter.commits) == (5, 3, 1)  # what changed nothing is no commit
    room.message(held, "grow")
    room.durable()
    room.alive.hibernate()
    assert (meter.rows_written, meter.commits) == (6, 2)
    assert meter.stored_bytes == room.store.open(room.object_id).database_size > 10 * PAGE


async def test_a_life_that_never_used_its_storage_changes_nothing(live: MakeHarness) -> None:
    async def put(self: Scripted, ws: WebSocket) -> None:
        await self.ctx.storage.put("a", 1)

    room = live(Scripted, env={"put": put})
    held = room.hold()
    room.message(held, "put")
    room.durable()
    room.alive.hibernate()
    before = room.meter.snapshot()
    room.message(held, "nothing")
    room.alive.hibernate()
    for counter in ("rows_read", "rows_written", "commits", "stored_bytes", "sync_ms"):
        assert room.meter.snapshot()[counter] == before[counter]


async def test_time_that_the_output_gate_was_closed_is_metered_once(live: MakeHarness) -> None:
    async def put(self: Scripted, ws: WebSocket) -> None:
        env: dict[str, Any] = self.env
        env["n"] = env.get("n", 0) + 1
        await self.ctx.storage.put("a", env["n"])

    room = live(Scripted, env={"put": put})
    held = room.hold()
    room.message(held, "put")
    room.clock.advance(1)
    room.message(held, "put")
    room.clock.advance(1)
    room.alive.settle_meter()
    assert room.meter.sync_ms == 2000
    room.clock.advance(0.5)
    room.log.pending()[0].succeed()
    room.durable()
    room.clock.advance(7)
    await settle()
    room.alive.settle_meter()
    assert room.meter.sync_ms == 2500
