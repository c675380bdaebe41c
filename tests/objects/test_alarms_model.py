"""Random histories of alarms against a plain model: set, deleted, rung, failed, aborted, lost, slept and restarted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from roost.alarm_info import AlarmInfo
from roost.errors import StorageFullError
from roost.events import Ring
from roost.limits import Limits
from roost.objects import alarms as module
from roost.objects.durable_object import DurableObject

from .harness import Harness, settle

RETRIES_MAX = 3
LIMITS = Limits(alarm_retries_max=RETRIES_MAX, alarm_seconds_max=1e9)
KEYS = st.sampled_from([None, "a", "b"])
DELTAS = st.sampled_from([-50, 0, 1_000, 2_000, 5_000])
OUTCOMES = ["succeed", "fail", "set and succeed", "set and fail", "delete and fail", "abort", "abort for good"]


class Sleeper(DurableObject):
    async def fetch(self, request: Any) -> Any:
        return await self.env.asked(self)

    async def alarm(self, info: AlarmInfo) -> None:
        await self.env.rung(self, info)


class Script:
    """What the object does; the handler of alarms waits until the test says how it is to end."""

    def __init__(self) -> None:
        self.asked: Callable[[Any], Awaitable[Any]]
        self.started: list[tuple[str | None, int, int]] = []
        self.go: asyncio.Future[tuple[str, int]] | None = None

    async def rung(self, sleeper: Sleeper, info: AlarmInfo) -> None:
        self.started.append((info.key, info.retry_count, info.scheduled_time))
        self.go = asyncio.get_running_loop().create_future()
        outcome, due = await self.go
        storage = sleeper.ctx.storage
        if outcome.startswith("set"):
            storage.set_alarm(due, key=info.key)
        elif outcome.startswith("delete"):
            storage.delete_alarm(info.key)
        elif outcome.startswith("abort"):
            storage.set_alarm(due, key=info.key)  # is dropped with the turn
            sleeper.ctx.abort(retry_alarm=outcome == "abort")
        if outcome.endswith("fail"):
            raise LookupError(outcome)


@dataclass(frozen=True)
class Row:
    due: int
    scheduled: int
    retries: int = 0


class Alarms(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.no_jitter = mock.patch.object(module.Alarms, "jitter", staticmethod(lambda: 0.0))
        self.no_jitter.start()
        self.script = Script()
        self.told: list[int | None] = []
        self.over: list[bool] = []
        self.rung = 0
        # the model
        self.rows: dict[str | None, Row] = {}
        self.given_up: list[str | None] = []
        self.running: str | bool | None = False
        """The key of the alarm that runs; False when none does."""
        self.replaced = False
        self.starts: list[tuple[str | None, int, int]] = []

    @initialize()
    def begin(self) -> None:
        self.do(self._begin)

    async def _begin(self) -> None:
        self.room = Harness(Sleeper, Path(self.directory.name), env=self.script, limits=LIMITS)
        self._listen()

    def _listen(self) -> None:
        self.room.store.on_alarm = lambda object_id, due: self.told.append(due)

    def do(self, act: Callable[[], Awaitable[Any]], *, durable: bool = True) -> Any:
        async def run() -> Any:
            result = await act()
            for _ in range(4):
                await settle()
                if durable:
                    self.room.durable()
            return result

        return self.runner.run(run())

    def ask(self, act: Callable[[Any], Awaitable[Any]], *, durable: bool = True) -> Any:
        """What the object answers, if it does."""
        answers: list[Any] = []

        async def asked(sleeper: Any) -> Any:
            answers.append(await act(sleeper))
            raise EOFError  # the answer is known already

        async def deliver() -> None:
            self.script.asked = asked
            self.room.fetch().add_done_callback(lambda answer: answer.exception())

        self.do(deliver, durable=durable)
        return answers[0] if answers else None

    @property
    def now(self) -> int:
        return self.room.clock.now_ms()

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(key=KEYS, delta=DELTAS)
    def set_one(self, key: str | None, delta: int) -> None:
        when = self.now + delta
        self.ask(lambda sleeper: sleeper.ctx.storage.set_alarm(when, key=key))
        self.expect_set(key, max(when, self.now))

    def expect_set(self, key: str | None, due: int) -> None:
        row = self.rows.get(key)
        runs = self.runs(key) and not self.replaced
        if row is not None and not runs and not row.retries and (row.due == due or max(row.due, due) <= self.now):
            return
        self.rows[key] = Row(due, due)
        if runs:
            self.replaced = True

    @rule(key=KEYS)
    def delete_one(self, key: str | None) -> None:
        was_set = self.ask(lambda sleeper: sleeper.ctx.storage.delete_alarm(key))
        assert was_set == (self.expected(key) is not None)
        self.expect_deleted(key)

    def expect_deleted(self, key: str | None) -> None:
        self.rows.pop(key, None)
        if self.runs(key):
            self.replaced = True

    def runs(self, key: str | None) -> bool:
        return self.running is not False and self.running == key

    @rule()
    def delete_all(self) -> None:
        self.ask(lambda sleeper: sleeper.ctx.storage.delete_all())
        for key in (None, "a", "b"):
            self.expect_deleted(key)
        self.given_up.clear()

    @rule(key=KEYS, delta=DELTAS)
    def set_one_and_roll_back(self, key: str | None, delta: int) -> None:
        async def act(sleeper: Any) -> None:
            await sleeper.ctx.storage.set_alarm(self.now + delta, key=key)
            await sleeper.ctx.storage.delete_alarm("a")
            raise LookupError

        self.ask(lambda sleeper: sleeper.ctx.storage.transaction(lambda: act(sleeper)))

    @rule(key=KEYS, delta=DELTAS)
    def set_one_and_lose_it(self, key: str | None, delta: int) -> None:
        """The commit fails: the object is reset, and what ran has not failed."""

        async def act(sleeper: Any) -> None:
            await sleeper.ctx.storage.set_alarm(self.now + delta, key=key)
            await sleeper.ctx.storage.put("lost", [*self.told])

        self.ask(act, durable=False)

        async def fail() -> None:
            self.room.log.pending()[0].fail(StorageFullError("full"))

        self.do(fail)
        self.expect_life_over()

    @rule(milliseconds=st.sampled_from([1, 1_000, 20_000]))
    def wait(self, milliseconds: int) -> None:
        async def act() -> None:
            self.room.clock.advance(milliseconds / 1000)

        self.do(act)

    @rule(patient=st.booleans())
    def ring(self, patient: bool) -> None:
        early = min((row.due for row in self.rows.values()), default=0) - self.now
        if patient and early > 0:
            self.wait(early)

        async def act() -> None:
            self.rung += 1
            self.room.deliver(Ring(self.over.append))

        self.do(act)
        self.expect_start()

    @rule(outcome=st.sampled_from(OUTCOMES), delta=DELTAS)
    def ring_and_finish(self, outcome: str, delta: int) -> None:
        self.ring(patient=True)
        if self.running is not False:
            self.finish(outcome, delta)

    @precondition(lambda self: self.running is not False)
    @rule(outcome=st.sampled_from(OUTCOMES), delta=DELTAS)
    def finish(self, outcome: str, delta: int) -> None:
        key = self.running
        assert not isinstance(key, bool)
        due = self.now + delta

        async def act() -> None:
            assert self.script.go is not None
            self.script.go.set_result((outcome, due))

        self.do(act)
        if outcome.startswith("set"):
            self.expect_set(key, max(due, self.now))
        elif outcome.startswith("delete"):
            self.expect_deleted(key)
        self.expect_outcome(key, failed=outcome.endswith("fail") or outcome == "abort")
        if not outcome.startswith("abort"):
            self.expect_start()

    def expect_outcome(self, key: str | None, *, failed: bool) -> None:
        self.running = False
        if self.replaced:
            return
        row = self.rows.pop(key)
        if failed and row.retries < RETRIES_MAX:
            due = self.now + 2_000 * 2**row.retries
            self.rows[key] = replace(row, due=due, retries=row.retries + 1)
        elif failed:
            self.given_up = [*self.given_up, key][-10:]

    def expect_start(self) -> None:
        """What is due first runs, if nothing does."""
        due = [(row.due, key or "", key) for key, row in self.rows.items() if row.due <= self.now]
        if self.running is False and due:
            key = self.running = min(due)[2]
            self.replaced = False
            row = self.rows[key]
            self.starts.append((key, row.retries, row.scheduled))

    @rule(retry=st.booleans())
    def abort(self, retry: bool) -> None:
        async def act(sleeper: Any) -> None:
            await sleeper.ctx.storage.delete_all()
            sleeper.ctx.abort(retry_alarm=retry)

        self.ask(act)
        if not isinstance(self.running, bool):
            self.expect_outcome(self.running, failed=retry)

    @precondition(lambda self: self.running is False)
    @rule()
    def hibernate(self) -> None:
        async def act() -> None:
            if self.room.activation is not None:
                self.room.activation.hibernate()

        self.do(act)

    @rule()
    def restart(self) -> None:
        async def act() -> None:
            if self.room.activation is not None:
                self.room.activation.stop(RuntimeError("the host stops"))
            self.room.reopen()
            self._listen()

        self.do(act)
        self.expect_life_over()

    def expect_life_over(self) -> None:
        self.running = False

    # -- what must hold ------------------------------------------------------------------------------------------------

    def expected(self, key: str | None) -> int | None:
        row = self.rows.get(key)
        runs = self.runs(key) and not self.replaced
        return None if row is None or runs else row.due

    @rule()
    def look(self) -> None:
        async def act(sleeper: Any) -> Any:
            storage = sleeper.ctx.storage
            failed = [failed.key for failed in await storage.list_failed_alarms()]
            return await storage.get_alarm(), await storage.list_alarms(), failed

        alarm, named, failed = self.ask(act)
        expected = {key: due for key in ("a", "b") if (due := self.expected(key)) is not None}
        assert (alarm, named, failed) == (self.expected(None), expected, self.given_up)
        assert list(named.values()) == sorted(named.values())

    @invariant()
    def everybody_knows_when_the_earliest_is_due(self) -> None:
        earliest = min((row.due for row in self.rows.values()), default=None)
        assert (self.told or [None])[-1] == earliest

    @invariant()
    def exactly_what_was_due_was_run(self) -> None:
        assert self.script.started == self.starts

    @invariant()
    def every_ring_is_over_when_nothing_runs(self) -> None:
        assert len(self.over) == self.rung or self.running is not False

    def teardown(self) -> None:
        self.do(self._end)
        assert len(self.over) == self.rung
        self.runner.close()
        self.no_jitter.stop()
        self.directory.cleanup()

    async def _end(self) -> None:
        self.room.close_down()


TestAlarms = Alarms.TestCase
TestAlarms.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
