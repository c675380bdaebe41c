"""SQL, transactions and migrations, seen from an object with turns, gates and lives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from roost.errors import (
    ConstructionError,
    InvalidStateError,
    MigrationError,
    OutputGateBrokenError,
    SQLConstraintError,
    TurnRolledBackError,
)
from roost.response import Response

from .harness import Harness, MakeHarness, Scripted, settle, signal

LIST = "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"


class Items(Scripted):
    """Its schema is one line of the constructor."""

    def __init__(self, ctx: Any, env: Any) -> None:
        ctx.storage.migrate(env.get("steps", [LIST]))
        self.sql = ctx.storage.sql
        self.first = self.sql.exec("SELECT count(*) AS n FROM item").one()["n"]
        super().__init__(ctx, env)

    def add(self, text: str) -> None:
        self.sql.exec("INSERT INTO item (text) VALUES (?)", text)

    def texts(self) -> list[str]:
        return [text for (text,) in self.sql.exec("SELECT text FROM item ORDER BY id").raw()]


async def started(room: Harness) -> Harness:
    """Constructed, and durably so."""

    async def start(self: Items) -> str:
        return "started"

    room.env["/start"] = start
    assert await answered(room, room.fetch("/start")) == "started"
    return room


async def answered(room: Harness, answer: asyncio.Future[Response]) -> str:
    """What it says, once all that is written before it is durable."""
    while not answer.done():
        room.durable()
        await asyncio.sleep(0)
    return await (await answer).text()


async def add(self: Items) -> str:
    self.add(f"item {len(self.texts())}")
    return ",".join(self.texts())


# -- turns -------------------------------------------------------------------------------------------------------------


async def test_an_answer_waits_for_the_statements_before_it(live: MakeHarness) -> None:
    room = await started(live(Items, env={"/add": add}))
    answer = room.fetch("/add")
    assert not answer.done()
    (append,) = room.log.pending()
    append.succeed()
    assert await (await answer).text() == "item 0"


async def test_an_answer_that_was_only_read_waits_for_nothing(live: MakeHarness) -> None:
    async def read(self: Items) -> str:
        return ",".join(self.texts())

    room = await started(live(Items, env={"/add": add, "/read": read}))
    room.fetch("/add")
    room.durable()
    answer = room.fetch("/read")
    assert answer.done()
    assert room.log.pending() == []


async def test_statements_keys_and_alarms_of_a_turn_are_one_commit(live: MakeHarness) -> None:
    async def all_of_it(self: Items) -> str:
        self.add("a")
        await self.ctx.storage.put("b", 1)
        await self.ctx.storage.set_alarm(5_000_000)
        self.add("c")
        return "done"

    room = await started(live(Items, env={"/all": all_of_it}))
    room.fetch("/all")
    assert len(room.log.pending()) == 1
    room.durable()


async def test_an_exception_in_a_handler_keeps_what_was_written_before_it(live: MakeHarness) -> None:
    async def fails(self: Items) -> str:
        self.add("kept")
        raise KeyError("oh")

    async def read(self: Items) -> str:
        return ",".join(self.texts())

    room = await started(live(Items, env={"/fails": fails, "/read": read}))
    answer = room.fetch("/fails")
    room.durable()
    with pytest.raises(KeyError):
        await answer
    assert await room.text("/read") == "kept"
    assert room.woken == 1


async def test_a_constraint_does_not_reset_the_object(live: MakeHarness) -> None:
    async def twice(self: Items) -> str:
        self.add("same")
        with pytest.raises(SQLConstraintError):
            self.add("same")
        return ",".join(self.texts())

    room = await started(live(Items, env={"/twice": twice}))
    answer = room.fetch("/twice")
    assert await answered(room, answer) == "same"
    assert room.woken == 1


async def test_a_turn_that_sqlite_rolled_back_breaks_the_gate_though_the_handler_caught_it(live: MakeHarness) -> None:
    async def catches(self: Items) -> str:
        self.add("lost")
        with pytest.raises(TurnRolledBackError):
            self.sql.exec("INSERT OR ROLLBACK INTO item (text) VALUES ('lost')")
        return "all is well"

    async def read(self: Items) -> str:
        return ",".join(self.texts())

    room = await started(live(Items, env={"/catches": catches, "/read": read}))
    with pytest.raises(OutputGateBrokenError) as caught:
        await room.fetch("/catches")
    assert isinstance(caught.value.__cause__, TurnRolledBackError)
    assert await room.text("/read") == ""
    assert room.woken == 2


async def test_a_deferred_constraint_that_fails_at_the_turns_end_resets_the_object(live: MakeHarness) -> None:
    steps = ["CREATE TABLE item (id INTEGER PRIMARY KEY, text REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)"]

    async def orphan(self: Items) -> str:
        self.sql.exec("INSERT INTO item (text) VALUES (99)")
        return "stored"

    async def read(self: Items) -> str:
        return str(len(self.texts()))

    room = await started(live(Items, env={"/orphan": orphan, "/read": read, "steps": steps}))
    with pytest.raises(OutputGateBrokenError):
        await room.fetch("/orphan")
    assert await room.text("/read") == "0"


# -- cursors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [3, 100])
async def test_a_cursor_ends_where_the_handler_truly_waits(live: MakeHarness, rows: int) -> None:
    go = signal()

    async def reads(self: Items) -> str:
        for number in range(rows):
            self.add(f"{number}")
        cursor = self.sql.exec("SELECT text FROM item")
        next(cursor)
        await self.ctx.storage.get("nothing")  # ready at once: the turn goes on
        next(cursor)
        await go
        with pytest.raises(InvalidStateError, match="the turn in which it was made is over"):
            cursor.to_array()
        return "ended"

    room = await started(live(Items, env={"/reads": reads}))
    answer = room.fetch("/reads")
    go.set_result(None)
    await settle()
    room.durable()
    assert await (await answer).text() == "ended"


async def test_a_cursor_of_a_turn_that_wrote_nothing_ends_too(live: MakeHarness) -> None:
    go = signal()
    ended: list[str] = []

    async def reads(self: Items) -> str:
        cursor = self.sql.exec("SELECT * FROM sqlite_master")
        next(cursor)
        await go
        with pytest.raises(InvalidStateError):
            next(cursor)
        ended.append("reads")
        return "ended"

    async def other(self: Items) -> str:
        self.sql.exec("DROP TABLE item")  # would be locked by an open cursor
        return "dropped"

    room = await started(live(Items, env={"/reads": reads, "/other": other}))
    first, second = room.fetch("/reads"), room.fetch("/other")
    room.durable()
    assert await (await second).text() == "dropped"
    go.set_result(None)
    assert await (await first).text() == "ended"
    assert ended == ["reads"]


async def test_a_cursor_of_a_timer_of_the_loop_ends_as_well(live: MakeHarness) -> None:
    found: list[Any] = []

    async def later(self: Items) -> str:
        asyncio.get_running_loop().call_soon(lambda: found.append(self.sql.exec("SELECT * FROM sqlite_master")))
        return "soon"

    room = await started(live(Items, env={"/later": later}))
    answer = room.fetch("/later")
    room.durable()
    await answer
    await settle()
    with pytest.raises(InvalidStateError):
        found[0].to_array()


async def test_inside_a_transaction_a_cursor_ends_with_the_turn_and_the_transaction_goes_on(live: MakeHarness) -> None:
    async def works(self: Items) -> str:
        async def inside() -> None:
            self.add("a")
            cursor = self.sql.exec("SELECT * FROM item")
            await asyncio.sleep(0)
            with pytest.raises(InvalidStateError):
                cursor.to_array()
            self.add("b")

        await self.ctx.storage.transaction(inside)
        return ",".join(self.texts())

    room = await started(live(Items, env={"/works": works}))
    answer = room.fetch("/works")
    await settle()
    room.durable()
    assert await (await answer).text() == "a,b"


# -- transactions ------------------------------------------------------------------------------------------------------


async def test_a_transaction_that_raises_takes_statements_and_keys_back_and_the_object_goes_on(
    live: MakeHarness,
) -> None:
    async def works(self: Items) -> str:
        async def inside() -> None:
            self.add("lost")
            await self.ctx.storage.put("lost", 1)
            await asyncio.sleep(0)
            raise KeyError("no")

        self.add("kept")
        with pytest.raises(KeyError):
            await self.ctx.storage.transaction(inside)
        assert await self.ctx.storage.get("lost") is None
        return ",".join(self.texts())

    room = await started(live(Items, env={"/works": works}))
    answer = room.fetch("/works")
    await settle()
    room.durable()
    await settle()
    room.durable()
    assert await (await answer).text() == "kept"
    assert room.woken == 1


# -- constructors ------------------------------------------------------------------------------------------------------


async def test_the_schema_is_there_in_the_next_line_of_the_constructor_and_made_once(live: MakeHarness) -> None:
    room = await started(live(Items, env={"/add": add}))
    room.fetch("/add")
    room.durable()
    room.alive.stop(RuntimeError("sleep"))
    assert room.wake()
    answer = room.fetch("/add")
    assert await answered(room, answer) == "item 0,item 1"


async def test_no_event_is_delivered_before_async_steps_are_through(live: MakeHarness) -> None:
    go = signal()

    async def slow(storage: Any) -> None:
        await go
        storage.sql.exec("INSERT INTO item (text) VALUES ('of the step')")

    async def read(self: Items) -> str:
        return ",".join(self.texts())

    room = live(Items, env={"/read": read, "steps": [LIST, slow]})
    answer = room.fetch("/read")
    await settle()
    room.durable()
    assert not answer.done()
    go.set_result(None)
    await settle()
    room.durable()
    assert await (await answer).text() == "of the step"


async def test_a_step_that_fails_fails_the_constructor_and_those_before_it_stay(live: MakeHarness) -> None:
    env: dict[str, Any] = {"/add": add, "steps": [LIST, "INSERT INTO nowhere VALUES (1)"]}
    room = live(Items, env=env)
    answer = room.fetch("/add")
    room.durable()
    with pytest.raises(ConstructionError) as caught:
        await answer
    assert "no such table: nowhere" in str(caught.value.__cause__)
    env["steps"] = [LIST]
    answer = room.fetch("/add")
    assert await answered(room, answer) == "item 0"


async def test_an_async_step_that_fails_fails_the_constructor(live: MakeHarness) -> None:
    async def breaks() -> None:
        await asyncio.sleep(0)
        raise KeyError("no")

    room = live(Items, env={"/add": add, "steps": [LIST, breaks]})
    answer = room.fetch("/add")
    await settle()
    room.durable()
    with pytest.raises(ConstructionError):
        await answer


async def test_an_older_version_of_the_app_is_refused_by_a_newer_database(live: MakeHarness) -> None:
    env: dict[str, Any] = {"/add": add, "steps": [LIST, "ALTER TABLE item ADD COLUMN done"]}
    room = live(Items, env=env)
    room.fetch("/add")
    room.durable()
    room.alive.stop(RuntimeError("a deploy"))
    env["steps"] = [LIST]
    with pytest.raises(ConstructionError) as caught:
        await room.fetch("/add")
    assert isinstance(caught.value.__cause__, MigrationError)


# -- counting ----------------------------------------------------------------------------------------------------------


async def test_the_meter_hears_of_rows(live: MakeHarness) -> None:
    room = await started(live(Items, env={"/add": add}))
    room.fetch("/add")
    room.durable()
    room.alive.stop(RuntimeError("sleep"))
    assert room.meter.rows_written >= 2  # the row and the entry of its index
    assert room.meter.rows_read >= 1
