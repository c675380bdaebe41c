"""`WriteBehind`: a dict in memory that is stored every few seconds."""

from __future__ import annotations

from typing import Any

import pytest

from roost.errors import InvalidStateError, LimitExceededError, ObjectResetError, UnserialisableError, WrongTypeError
from roost.objects.write_behind import WriteBehind

from .harness import Harness, MakeHarness, Scripted, settle


class Cursors(Scripted):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.cursors = WriteBehind(ctx, prefix="cursor:", seconds=2)

    async def web_socket_message(self, ws: Any, message: str) -> None:
        if message in self.env:
            await self.env[message](self)
        else:
            name, _, position = message.partition("=")
            self.cursors[name] = int(position)
            self.ctx.broadcast(message)


class Board:
    """An object, and a client of it."""

    def __init__(self, live: MakeHarness, **env: Any) -> None:
        self.harness: Harness = live(Cursors, env=env)
        self.held = self.harness.hold()

    def send(self, *messages: str) -> None:
        for message in messages:
            self.harness.message(self.held, message)

    async def tick(self, seconds: float) -> None:
        self.harness.clock.advance(seconds)
        await settle()
        self.harness.durable()

    def stored(self) -> dict[str, Any]:
        return dict(self.instance().ctx.storage.kv.list())

    def instance(self) -> Cursors:
        handlers = self.harness.alive.delivery.handlers
        message: Any = handlers.message
        cursors: Cursors = message.__self__
        return cursors

    @property
    def cursors(self) -> WriteBehind:
        return self.instance().cursors


async def test_what_changes_often_is_stored_once_and_nothing_waits_for_it(live: MakeHarness) -> None:
    board = Board(live)
    board.send(*(f"ann={x}" for x in range(60)))
    await settle()
    board.send(*(f"bob={x}" for x in range(60)))
    await settle()
    assert len(board.harness.left()) == 120
    assert (board.cursors["ann"], board.cursors.pending, board.stored()) == (59, 2, {})
    board.harness.clock.advance(2)
    await settle()
    assert board.stored() == {"cursor:ann": 59, "cursor:bob": 59}
    (append,) = board.harness.log.pending()
    board.send("ann=60")
    assert len(board.harness.left()) == 1
    append.succeed()
    board.harness.alive.settle_meter()
    assert board.harness.meter.rows_written == 2


async def test_it_is_a_dict(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1", "bob=2")
    cursors = board.cursors
    assert dict(cursors) == {"ann": 1, "bob": 2}
    assert (len(cursors), "ann" in cursors, "eve" in cursors, cursors.get("eve", 0)) == (2, True, False, 0)
    assert cursors.pop("ann") == 1
    with pytest.raises(KeyError):
        del cursors["ann"]
    cursors.update(eve=3)
    assert sorted(cursors.items()) == [("bob", 2), ("eve", 3)]
    cursors.clear()
    assert dict(cursors) == {}
    assert repr(cursors) == "<WriteBehind 'cursor:', 3 to be written>"


async def test_the_next_life_finds_what_was_there_and_what_was_removed_is_gone(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1", "bob=2")
    await board.tick(2)
    del board.cursors["ann"]
    board.harness.alive.hibernate()
    await settle()
    board.harness.durable()
    assert board.harness.activation is None
    board.send("eve=3")
    assert dict(board.cursors) == {"bob": 2, "eve": 3}


async def test_it_keeps_to_its_prefix(live: MakeHarness) -> None:
    async def put(self: Any) -> None:
        await self.ctx.storage.put("other", 1)

    board = Board(live, put=put)
    board.send("put", "ann=1")
    await board.tick(2)
    board.cursors.clear()
    await board.tick(2)
    assert board.stored() == {"other": 1}


async def test_a_reset_loses_what_was_not_flushed_and_nothing_else(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1", "bob=1")
    await board.tick(2)
    board.send("ann=2")
    board.harness.alive.abort(ObjectResetError("broken"))
    board.send("eve=1")
    assert dict(board.cursors) == {"ann": 1, "bob": 1, "eve": 1}


async def test_what_cannot_be_stored_raises_where_it_is_set(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1")
    with pytest.raises(UnserialisableError):
        board.cursors["ann"] = object()
    with pytest.raises(WrongTypeError, match="key must be a str, got int"):
        board.cursors[5] = 1  # type: ignore[index]
    with pytest.raises(LimitExceededError):
        board.cursors["x" * 5000] = 1
    assert (dict(board.cursors), board.cursors.pending) == ({"ann": 1}, 1)


async def test_a_value_is_stored_as_it_was_when_it_was_set(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1")
    value = {"x": 1}
    board.cursors["bob"] = value
    value["x"] = 2
    await board.tick(2)
    assert board.stored()["cursor:bob"] == {"x": 1}


async def test_nothing_changed_is_nothing_written(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1")
    await board.tick(2)
    commits = board.harness.meter.commits
    await board.tick(2)
    board.harness.alive.hibernate()
    assert (board.harness.activation, board.harness.meter.commits) == (None, commits)


async def test_it_can_be_flushed_by_hand_but_not_where_that_could_be_taken_back(live: MakeHarness) -> None:
    async def save(self: Any) -> None:
        await self.cursors.flush()

    async def inside(self: Any) -> None:
        await self.ctx.storage.transaction(self.cursors.flush)

    board = Board(live, save=save, inside=inside)
    board.send("ann=1", "save")
    assert (board.stored(), board.cursors.pending) == ({"cursor:ann": 1}, 0)
    board.send("ann=2", "inside")
    await settle()
    assert board.cursors.pending == 1
    (facts,) = [facts for name, facts in board.harness.happened if name == "object.handler_failed"]
    assert isinstance(facts["error"], InvalidStateError)


async def test_what_makes_no_sense_is_refused(live: MakeHarness) -> None:
    board = Board(live)
    board.send("ann=1")
    ctx = board.instance().ctx
    with pytest.raises(WrongTypeError, match="ctx first, got str"):
        WriteBehind("cursor:")  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="prefix must be a str, got int"):
        WriteBehind(ctx, prefix=5)  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match="seconds must be a number"):
        WriteBehind(ctx, seconds="5")  # type: ignore[arg-type]
