"""Random lives of whole objects, with hibernation, deploys and crashes, against a model of plain dictionaries."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import tempfile
import unittest
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.host.parts import HandClock
from tests.host.scripted import ScriptedGateway, settle

from roost.host.app import app_of_classes
from roost.host.host import Host
from roost.limits import Limits
from roost.storage.store import HostStore

from .whole_object import LOOK, Model, Step, Told

LIMITS = Limits(journal_segment_bytes=64 * 1024, checkpoint_bytes=32 * 1024, open_databases_max=2)
NAMES = ("a", "b", "c")
KEYS = st.sampled_from(["k1", "k2", "other", "Ünï", "k\U0010ffff"])
VALUES = st.one_of(st.integers(), st.text(max_size=20), st.none(), st.binary(max_size=3000).map(bytes.hex))
ALARMS = st.sampled_from(["x", "y", "bad z"])

PLAIN = st.one_of(
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("list"), st.sampled_from(["", "k"])),
    st.tuples(st.just("insert"), st.integers(0, 20), st.text(max_size=30)),
    st.tuples(st.just("remove"), st.integers(0, 20)),
    st.tuples(st.just("rows")),
    st.tuples(st.just("set_alarm"), ALARMS, st.integers(1, 60)),
    st.tuples(st.just("delete_alarm"), ALARMS),
    st.tuples(st.just("alarms")),
)
NESTED = st.tuples(st.just("transaction"), st.lists(PLAIN, max_size=4), st.booleans())
ENDS = st.one_of(st.tuples(st.just("fail")), st.tuples(st.just("abort")))
TURNS = st.tuples(st.lists(st.one_of(PLAIN, NESTED), max_size=5), st.one_of(st.none(), st.none(), st.none(), ENDS)).map(
    lambda turn: [*turn[0], *([turn[1]] if turn[1] is not None else [])]
)


async def enter(request: Any, env: Any) -> Any:
    return await env.TOLD.get_by_name(request.path.strip("/")).fetch(request)


def seen(model: Model) -> Any:
    """What is to be seen of it from outside."""
    return json.loads(json.dumps([model.do(*step) for step in LOOK]))


APP = app_of_classes(Told, entrypoint=enter)


class WholeObjects(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        logging.disable(logging.CRITICAL)  # handlers fail here on purpose
        self.runner = asyncio.Runner()
        self.base = Path(tempfile.mkdtemp(prefix="roost-whole-"))
        self.clock = HandClock()
        self.models = {name: Model() for name in NAMES}
        self.lives = 0
        self.directory = self.base / "0"
        self.run(self.start())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    async def start(self) -> None:
        self.store = HostStore(self.directory, limits=LIMITS, clock=self.clock)
        self.host = Host(APP, self.store, limits=LIMITS, clock=self.clock)
        await self.host.start()
        self.gateway = ScriptedGateway(self.host).roll()
        await settle()

    async def end(self) -> None:
        await self.host.close()
        await settle()
        self.store.close()
        await settle()

    async def ask(self, name: str, steps: list[Step]) -> list[Any] | None:
        reply = await self.gateway.request(f"/{name}", method="POST", body=json.dumps(steps).encode())
        return json.loads(reply.text) if reply.status == 200 else None

    def steps(self, turn: list[Step]) -> list[Step]:
        """Alarms are drawn in seconds from now."""
        return [self._step(step) for step in turn]

    def _step(self, step: Step) -> Step:
        if step[0] == "set_alarm":
            return (*step[:2], self.clock.now_ms() + step[2] * 1000)
        if step[0] == "transaction":
            return ("transaction", self.steps(step[1]), step[2])
        return step

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), turn=TURNS)
    def turn(self, name: str, turn: list[Step]) -> None:
        steps = self.steps(turn)
        expected, _ = self.models[name].turn(steps)
        assert self.run(self.ask(name, steps)) == json.loads(json.dumps(expected))

    @rule(name=st.sampled_from(NAMES))
    def delete_everything(self, name: str) -> None:
        self.models[name].do_delete_all()
        assert self.run(self.ask(name, [("delete_all",)])) == [None]

    @rule()
    def hibernate(self) -> None:
        async def sleep() -> None:
            for place, activation in self.host.activations.awake():
                if not activation.pinned_by():
                    self.host.activations.hibernate(place.key)

        self.run(sleep())

    @rule(seconds=st.integers(1, 40))
    def time_passes(self, seconds: int) -> None:
        """And everything that is due rings; what fails is tried again within three seconds.

        The time passes at once. Second by second, an alarm that an awake object fails at in the middle of it would be
        tried again before the end of it, and one whose object has yet to be read from the disk would not.
        """
        self.run(self.pass_at_once(seconds))
        for model in self.models.values():
            model.ring(self.clock.now_ms())
        self.run(self.rung())
        self.run(self.pass_at_once(3))
        for model in self.models.values():
            model.retry()
            model.ring(self.clock.now_ms())
        self.run(self.rung())
        if any(model.retried for model in self.models.values()):
            self.run(self.pass_at_once(3))
            for model in self.models.values():
                model.retry()
                model.ring(self.clock.now_ms())
            self.run(self.rung())

    async def pass_at_once(self, seconds: int) -> None:
        self.clock.jump(seconds)
        await settle()

    async def rung(self) -> None:
        """Wait until the alarms are those of the models. What rings too early or never, runs into the time limit."""
        left = 100  # steps of the clock: in all less than it takes until an alarm that failed is tried again
        async with asyncio.timeout(30):
            for name in NAMES:
                while await self.ask(name, [("list", "rang "), ("alarms",)]) != self.expected_of(name):
                    left -= 1
                    if left > 0:
                        self.clock.advance(0.011)
                    # Threads and disk may be slow, and the clock's steps are counted: the last ones are taken slowly.
                    await asyncio.sleep(0.005 if left > 60 else 0.15)

    def expected_of(self, name: str) -> Any:
        return json.loads(json.dumps([self.models[name].do("list", "rang "), self.models[name].do("alarms")]))

    @rule()
    def deploy(self) -> None:
        async def replace() -> None:
            await self.host.drain()
            await self.end()
            await self.start()

        self.run(replace())

    @rule(name=st.sampled_from(NAMES), turn=TURNS, turns=st.integers(0, 12))
    def crash(self, name: str, turn: list[Step], turns: int) -> None:
        """In the middle of a call: each turn of it is there as a whole or not at all, and none without those before."""
        steps = self.steps(turn)
        _, states = self.models[name].turn(steps)
        self.run(self.crashed(name, steps, turns))
        found = self.run(self.ask(name, LOOK))
        possible = [state for state in states if seen(state) == found]
        assert possible, f"{found} is none of {[seen(state) for state in states]}"
        self.models[name].become(possible[-1])

    async def crashed(self, name: str, steps: list[Step], turns: int) -> None:
        stream = self.gateway.begin(f"/{name}", method="POST", body=json.dumps(steps).encode())
        await settle(turns)
        self.lives += 1
        self.directory = self.base / str(self.lives)
        shutil.copytree(self.base / str(self.lives - 1), self.directory)
        del stream
        await self.end()
        await self.start()

    @invariant()
    def everything_is_there(self) -> None:
        if not hasattr(self, "runner"):
            return
        for name, model in self.models.items():
            assert self.run(self.ask(name, LOOK)) == seen(model), name

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.end())
            self.runner.close()
            shutil.rmtree(self.base)
        logging.disable(logging.NOTSET)


TestWholeObjects: type[unittest.TestCase] = WholeObjects.TestCase
TestWholeObjects.settings = settings(  # type: ignore[attr-defined]
    max_examples=int(os.environ.get("EXAMPLES", "8")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
