"""Random histories of gates, inbox and outbox against a model that is too simple to be wrong.

The object's handlers follow scripts: send, write, wait, sync, run a critical section. The test decides when a wait ends
and when a commit is durable, and checks after each step what may have run and what may have left.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket

from .harness import Harness, settle

STEPS = st.lists(
    st.sampled_from(["send", "write", "soft", "wait", "sync", "section", "attach"]), min_size=1, max_size=6
)


class Player(DurableObject):
    """Plays the script that its message names."""

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        await self.env.play(self, ws, int(message))


class Table:
    """What the handlers do, and a record of it: the model's side of the story."""

    def __init__(self, *, interleave: bool) -> None:
        self.interleave = interleave
        self.playing: set[int] = set()
        self.scripts: dict[int, list[str]] = {}
        self.waits: dict[str, asyncio.Future[None]] = {}
        self.sections: list[str] = []
        """Names of the critical sections that run, outermost first."""
        self.syncing: set[int] = set()
        self.trouble: list[str] = []
        self.begun: list[int] = []
        self.sent: list[tuple[str, int]] = []
        """Each message sent, with the confirmed writes made before it."""
        self.written = 0
        self.confirmed = 0
        """Number of writes when the newest confirmed one was made."""

    def ran(self, number: int) -> None:
        """Code of script `number` is running: is that allowed?"""
        owner = self.sections[-1].split("/")[0] if self.sections else str(number)
        if owner != str(number):
            self.trouble.append(f"script {number} ran inside the section {self.sections[-1]}")
        if not self.interleave and self.playing != {number}:
            self.trouble.append(f"script {number} ran among {self.playing}, one at a time is allowed")
        others = self.syncing - {number}
        if others and not self.sections:
            self.trouble.append(f"script {number} ran while {others} waited for the storage")

    async def play(self, this: Player, ws: WebSocket, number: int) -> None:
        self.begun.append(number)
        self.playing.add(number)
        for place, step in enumerate(self.scripts[number]):
            self.ran(number)
            await self.do(this, ws, number, f"{number}/{place}", step)
            self.ran(number)
        self.playing.discard(number)

    async def do(self, this: Player, ws: WebSocket, number: int, name: str, step: str) -> None:
        if step == "send":
            self.sent.append((name, self.confirmed))
            ws.send(name)
        elif step in ("write", "soft"):
            self.written += 1
            await this.ctx.storage.put("key", self.written, allow_unconfirmed=step == "soft")
            if step == "write":
                self.confirmed = self.written
        elif step == "wait":
            await self.pause(name)
        elif step == "sync":
            self.syncing.add(number)
            await this.ctx.storage.sync()
            self.syncing.discard(number)
        elif step == "section":
            await this.ctx.block_concurrency_while(lambda: self.section(ws, number, name))
        else:
            ws.serialize_attachment(name)

    async def section(self, ws: WebSocket, number: int, name: str) -> None:
        self.sections.append(name)
        self.ran(number)
        await self.pause(name)
        self.ran(number)
        self.sent.append((f"{name} inside", self.confirmed))
        ws.send(f"{name} inside")
        self.sections.pop()

    async def pause(self, name: str) -> None:
        wait = self.waits[name] = asyncio.get_running_loop().create_future()
        await wait
        del self.waits[name]


class Machine(RuleBasedStateMachine):
    @initialize(interleave=st.booleans())
    def begin(self, interleave: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.table = Table(interleave=interleave)
        self.delivered = 0
        self.durable = 0
        """All writes up to this one are durable."""
        self.committed: list[int] = []
        """For each pending commit, the last write in it."""
        cls = Player if interleave else type("InOrder", (Player,), {"interleave": False})
        self.room: Harness = self.run(self.make(cls))
        self.held = self.room.hold()
        self.finished = 0
        self.left: list[str] = []

    async def make(self, cls: Any) -> Harness:
        room = Harness(cls, Path(self.directory.name), env=self.table)
        append = room.log.append

        def noted(record: Any, on_durable: Any) -> int:
            self.committed.append(self.table.written)
            return append(record, on_durable)

        room.log.append = noted  # type: ignore[method-assign]
        return room

    def run(self, coroutine: Any) -> Any:
        result = self.runner.run(coroutine)
        self.collect()
        return result

    def collect(self) -> None:
        for effect in self.room.all_left() if hasattr(self, "room") else ():
            if effect[0] == "send":
                self.left += [effect[1]] * len(effect[2])
            elif effect[0] == "finished":
                self.finished += len(effect[1])

    @rule(steps=STEPS)
    def deliver(self, steps: list[str]) -> None:
        self.delivered += 1
        self.table.scripts[self.delivered] = steps

        async def deliver() -> None:
            self.room.message(self.held, str(self.delivered))
            await settle()

        self.run(deliver())

    @precondition(lambda self: self.table.waits)
    @rule(data=st.data())
    def end_a_wait(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.table.waits)))

        async def end() -> None:
            if not self.table.waits[name].done():
                self.table.waits[name].set_result(None)
            await settle()

        self.run(end())

    @precondition(lambda self: self.room.log.pending())
    @rule()
    def make_durable(self) -> None:
        async def one() -> None:
            self.durable = self.committed.pop(0)
            self.room.log.pending()[0].succeed()
            await settle()

        self.run(one())

    @invariant()
    def nothing_ran_that_might_not(self) -> None:
        if hasattr(self, "table"):
            assert self.table.trouble == []

    @invariant()
    def events_begin_in_order(self) -> None:
        if hasattr(self, "table"):
            assert self.table.begun == sorted(self.table.begun)

    @invariant()
    def what_left_is_a_beginning_of_what_was_sent(self) -> None:
        if hasattr(self, "table"):
            assert self.left == [name for name, _ in self.table.sent[: len(self.left)]]

    @invariant()
    def nothing_left_before_the_writes_that_it_could_reveal_were_durable(self) -> None:
        if hasattr(self, "table"):
            for name, confirmed in self.table.sent[: len(self.left)]:
                assert confirmed <= self.durable, f"{name} left before write {confirmed} was durable"

    @invariant()
    def nothing_is_held_when_no_confirmed_write_is_pending(self) -> None:
        if hasattr(self, "table") and self.table.confirmed <= self.durable:
            assert len(self.left) == len(self.table.sent)

    def teardown(self) -> None:
        if not hasattr(self, "table"):
            return

        async def end() -> None:
            for _ in range(200):
                for wait in list(self.table.waits.values()):
                    if not wait.done():
                        wait.set_result(None)
                self.room.durable()
                self.durable = self.table.written
                await settle()
                if not self.room.alive.pinned_by():
                    break
            self.nothing_ran_that_might_not()
            self.collect()
            self.what_left_is_a_beginning_of_what_was_sent()
            self.nothing_is_held_when_no_confirmed_write_is_pending()
            assert self.room.alive.pinned_by() == []
            assert self.table.begun == list(range(1, self.delivered + 1))
            assert self.finished == self.delivered
            self.room.close_down()

        if self.delivered:
            self.run(end())
        self.runner.close()
        self.directory.cleanup()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
