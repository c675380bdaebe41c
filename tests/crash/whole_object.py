"""An object that does as it is told, and a model of it out of plain dictionaries.

What it is told is a list of steps, done in one turn; both give the same answers, or something is wrong.
"""

from __future__ import annotations

import copy
from typing import Any

from roost.alarm_info import AlarmInfo
from roost.objects.context import DurableObjectState
from roost.objects.durable_object import DurableObject
from roost.request import Request
from roost.response import Response

Step = tuple[Any, ...]
MISSING = object()
FAILS_ONCE = "bad"
"""An alarm whose key begins so fails when it rings first."""


class RolledBackError(Exception):
    """What a transaction raises in order to be rolled back."""


class Told(DurableObject):
    """The real one."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.storage = ctx.storage
        self.awake = 0
        self.ready_table()

    def ready_table(self) -> None:
        self.storage.sql.exec("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, text TEXT)")

    async def fetch(self, request: Request) -> Response:
        answers = []
        for step in await request.json():
            answers.append(await self.do(*step))
        self.awake += 1
        return Response.json(answers)

    async def alarm(self, info: AlarmInfo) -> None:
        key = str(info.key)
        await self.storage.put(f"rang {key}", [info.scheduled_time, info.retry_count])
        if key.startswith(FAILS_ONCE) and info.retry_count == 0:
            raise RuntimeError(f"{key} fails when it rings first")

    async def do(self, what: str, *given: Any) -> Any:
        return await getattr(self, f"do_{what}")(*given)

    async def do_put(self, key: str, value: Any) -> None:
        await self.storage.put(key, value)

    async def do_delete(self, key: str) -> bool:
        return await self.storage.delete(key)

    async def do_list(self, prefix: str) -> dict[str, Any]:
        return await self.storage.list(prefix=prefix)

    async def do_insert(self, number: int, text: str) -> int:
        cursor = self.storage.sql.exec("INSERT OR REPLACE INTO row VALUES (?, ?)", number, text)
        return len(cursor.to_array())

    async def do_remove(self, below: int) -> list[int]:
        gone = self.storage.sql.exec("DELETE FROM row WHERE id < ? RETURNING id", below).to_array()
        return sorted(row["id"] for row in gone)

    async def do_rows(self) -> list[list[Any]]:
        return [list(row) for row in self.storage.sql.exec("SELECT id, text FROM row ORDER BY id").raw()]

    async def do_transaction(self, steps: list[Step], kept: bool) -> list[Any] | None:
        async def inner() -> list[Any]:
            answers = [await self.do(*step) for step in steps]
            if not kept:
                raise RolledBackError
            return answers

        try:
            return await self.storage.transaction(inner)
        except RolledBackError:
            return None

    async def do_set_alarm(self, key: str, due: int) -> None:
        await self.storage.set_alarm(due, key=key)

    async def do_delete_alarm(self, key: str) -> bool:
        return await self.storage.delete_alarm(key)

    async def do_alarms(self) -> list[str]:
        return sorted(await self.storage.list_alarms())

    async def do_delete_all(self) -> None:
        await self.storage.delete_all()
        self.ready_table()

    async def do_fail(self) -> None:
        raise LookupError("what was written before stays")

    async def do_abort(self) -> None:
        self.ctx.abort("what this turn wrote goes")


class Model:
    """What is stored, in dictionaries."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.rows: dict[int, str] = {}
        self.alarms: dict[str, int] = {}
        self.retried: set[str] = set()

    def do(self, what: str, *given: Any) -> Any:
        return getattr(self, f"do_{what}")(*given)

    def do_put(self, key: str, value: Any) -> None:
        self.kept[key] = value

    def do_delete(self, key: str) -> bool:
        return self.kept.pop(key, MISSING) is not MISSING

    def do_list(self, prefix: str) -> dict[str, Any]:
        return {key: self.kept[key] for key in sorted(self.kept) if key.startswith(prefix)}

    def do_insert(self, number: int, text: str) -> int:
        self.rows[number] = text
        return 0

    def do_remove(self, below: int) -> list[int]:
        gone = sorted(number for number in self.rows if number < below)
        for number in gone:
            del self.rows[number]
        return gone

    def do_rows(self) -> list[list[Any]]:
        return [[number, self.rows[number]] for number in sorted(self.rows)]

    def do_transaction(self, steps: list[Step], kept: bool) -> list[Any] | None:
        before = self.copy()
        answers = [self.do(*step) for step in steps]
        if kept:
            return answers
        self.become(before)
        return None

    def do_set_alarm(self, key: str, due: int) -> None:
        self.retried.discard(key)
        self.alarms[key] = due

    def do_delete_alarm(self, key: str) -> bool:
        self.retried.discard(key)
        return self.alarms.pop(key, MISSING) is not MISSING

    def do_alarms(self) -> list[str]:
        return sorted(self.alarms)

    def do_delete_all(self) -> None:
        self.become(Model())

    def ring(self, now_ms: int) -> None:
        """Everything that is due has rung; what failed is to be tried again."""
        for key, due in sorted(self.alarms.items(), key=lambda alarm: alarm[1]):
            if key not in self.retried and due <= now_ms:
                self.kept[f"rang {key}"] = [due, 0]
                if key.startswith(FAILS_ONCE):
                    self.retried.add(key)
                else:
                    del self.alarms[key]

    def retry(self) -> None:
        """Everything that was to be tried again was, and succeeded."""
        for key in self.retried:
            self.kept[f"rang {key}"] = [self.alarms.pop(key), 1]
        self.retried.clear()

    def copy(self) -> Model:
        return copy.deepcopy(self)

    def become(self, other: Model) -> None:
        vars(self).update(vars(other.copy()))

    def turn(self, steps: list[Step]) -> tuple[list[Any] | None, list[Model]]:
        """One call: its answers, None where it raised, and every state that a crash in the middle of it may leave.

        A transaction ends the turn in which it begins, and its own end is the end of a turn too.
        """
        states = [self.copy()]
        answers: list[Any] = []
        for step in steps:
            if step[0] == "fail":
                return None, [*states, self.copy()]
            if step[0] == "abort":
                self.become(states[-1])
                return None, states
            if step[0] == "transaction":
                states.append(self.copy())
            answers.append(self.do(*step))
            if step[0] == "transaction":
                states.append(self.copy())
        return answers, [*states, self.copy()]


LOOK: list[Step] = [("list", ""), ("rows",), ("alarms",)]
"""Steps that tell everything and change nothing."""
