"""Handlers meet asyncio as they would in a task, from their first step on; on uvloop too."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from roost.errors import ObjectError
from roost.objects.durable_object import DurableObject
from roost.objects.web_socket import WebSocket
from roost.request import Request
from roost.response import Response

from .harness import MakeHarness, on_every_loop, settle


class Runner(DurableObject):
    """`env` is what its fetch runs."""

    async def fetch(self, request: Request) -> Response:
        return Response(str(await self.env(self)))

    async def web_socket_message(self, ws: WebSocket, message: str) -> None:
        await self.env(self)


async def ran(live: MakeHarness, function: Callable[[Any], Awaitable[Any]]) -> str:
    return await live(Runner, env=function).text()


@on_every_loop
async def test_the_current_task_is_the_same_from_the_first_step_to_the_last(live: MakeHarness) -> None:
    async def handler(_: Any) -> bool:
        first = asyncio.current_task()
        await asyncio.sleep(0)
        second = asyncio.current_task()
        await asyncio.sleep(0.001)
        return first is second is asyncio.current_task() is not None and isinstance(first, asyncio.Task)

    assert await ran(live, handler) == "True"


@on_every_loop
async def test_no_current_task_is_left_over_after_a_handler(live: MakeHarness) -> None:
    async def handler(_: Any) -> None: ...

    room = live(Runner, env=handler)
    mine = asyncio.current_task()
    room.message(room.hold(), "x")
    assert asyncio.current_task() is mine
    seen: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def outside_of_tasks() -> None:
        room.message(room.hold(), "x")
        seen.set_result(asyncio.current_task())

    asyncio.get_running_loop().call_soon(outside_of_tasks)
    assert await seen is None


@on_every_loop
async def test_timeout_works_when_it_began_in_the_first_step(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            task = asyncio.current_task()
            assert task is not None
            return f"timed out, {task.cancelling()} cancellations left"
        return "never"

    assert await ran(live, handler) == "timed out, 0 cancellations left"


@on_every_loop
async def test_wait_for_works(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        assert await asyncio.wait_for(asyncio.sleep(0, "value"), 1) == "value"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        return "both"

    assert await ran(live, handler) == "both"


@on_every_loop
async def test_gather_and_wait_and_shield_work(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        values = list(await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0.001, 2)))
        tasks = [asyncio.create_task(asyncio.sleep(0, n)) for n in (3, 4)]
        done, _pending = await asyncio.wait(tasks)
        values += sorted(task.result() for task in done)
        values.append(await asyncio.shield(asyncio.sleep(0, 5)))
        return str(values)

    assert await ran(live, handler) == "[1, 2, 3, 4, 5]"


@on_every_loop
async def test_gather_fails_with_the_first_error(live: MakeHarness) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    async def handler(_: Any) -> str:
        with pytest.raises(LookupError, match="mine"):
            await asyncio.gather(fails(), asyncio.sleep(0))
        return "seen"

    assert await ran(live, handler) == "seen"


@on_every_loop
async def test_a_task_group_cancels_its_tasks_and_the_handler_when_one_fails(live: MakeHarness) -> None:
    async def fails() -> None:
        raise LookupError("mine")

    async def handler(_: Any) -> str:
        other = asyncio.Event()
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                waiting = group.create_task(other.wait())
                await other.wait()
        return f"cancelled: {waiting.cancelled()}"

    assert await ran(live, handler) == "cancelled: True"


@on_every_loop
async def test_a_task_group_around_a_first_step_that_raises_works(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        with pytest.raises(ExceptionGroup):  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))
                raise LookupError("body")
        return "caught"

    assert await ran(live, handler) == "caught"


@on_every_loop
async def test_a_handler_can_be_cancelled_by_a_task_that_it_told_of_itself(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        me = asyncio.current_task()
        assert me is not None

        async def canceller() -> None:
            me.cancel("enough")

        task = asyncio.create_task(canceller())
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await asyncio.Event().wait()
        me.uncancel()
        await task
        return f"{me.cancelling()} {me.cancelled()} {me.done()}"

    assert await ran(live, handler) == "0 False False"


@on_every_loop
async def test_a_cancellation_in_the_same_step_arrives_at_the_next_wait(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        me = asyncio.current_task()
        assert me is not None
        me.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "at the wait"
        return "never"

    assert await ran(live, handler) == "at the wait"


@on_every_loop
async def test_a_handler_that_ends_cancelled_fails_its_caller_and_does_not_cancel_it(live: MakeHarness) -> None:
    async def handler(_: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(ObjectError, match="CancelledError"):
        await ran(live, handler)


@on_every_loop
async def test_tasks_of_user_code_have_the_whole_interface_of_a_task(live: MakeHarness) -> None:
    async def child() -> int:
        await asyncio.sleep(0)
        return 3

    async def handler(_: Any) -> str:
        called: list[Any] = []
        task = asyncio.create_task(child(), name="a child")
        dropped: Any = called.append

        def callback(done: Any) -> None:
            called.append(done is task)

        task.add_done_callback(callback)
        task.add_done_callback(dropped)
        assert task.remove_done_callback(dropped) == 1
        assert isinstance(task, asyncio.Task)
        assert asyncio.isfuture(task)
        assert task.get_name() == "a child"
        assert task.get_loop() is asyncio.get_running_loop()
        assert asyncio.iscoroutine(task.get_coro())
        assert task.get_stack() != []
        with pytest.raises(asyncio.InvalidStateError):
            task.result()
        assert await task == 3
        await asyncio.sleep(0)
        assert (task.result(), task.exception(), task.done(), task.cancel()) == (3, None, True, False)
        return str(called)

    assert await ran(live, handler) == "[True]"


@on_every_loop
async def test_awaiting_oneself_is_an_error_not_a_hang(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        me = asyncio.current_task()
        assert me is not None
        with pytest.raises(RuntimeError, match="cannot await itself"):
            await me
        return "refused"

    assert await ran(live, handler) == "refused"


@on_every_loop
async def test_awaiting_what_asyncio_cannot_wait_for_is_an_error(live: MakeHarness) -> None:
    class Odd:
        def __await__(self) -> Any:
            yield "odd"

    async def handler(_: Any) -> str:
        with pytest.raises(RuntimeError, match="which asyncio cannot wait for"):
            await Odd()
        return "refused"

    assert await ran(live, handler) == "refused"


@on_every_loop
async def test_each_event_has_its_own_context_and_its_tasks_inherit_it(live: MakeHarness) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")

    async def child() -> str:
        return who.get()

    async def handler(_: Any) -> str:
        before = who.get()
        who.set("somebody")
        await asyncio.sleep(0)
        return f"{before} {who.get()} {await asyncio.create_task(child())}"

    room = live(Runner, env=handler)
    assert await room.text() == "nobody somebody somebody"
    assert await room.text() == "nobody somebody somebody"


@on_every_loop
async def test_a_handler_need_not_be_async(live: MakeHarness) -> None:
    class Plain(DurableObject):
        def fetch(self, request: Request) -> Response:
            assert asyncio.current_task() is not None
            return Response("plain")

        def web_socket_message(self, ws: WebSocket, message: str) -> None:
            ws.send(message)

    room = live(Plain)
    assert await room.text() == "plain"
    room.message(room.hold(), "hello")
    assert room.left() == [("send", "hello", [1])]


@on_every_loop
async def test_a_plain_handler_may_return_an_awaitable(live: MakeHarness) -> None:
    class Plain(DurableObject):
        def fetch(self, request: Request) -> Any:
            return asyncio.ensure_future(self.later())

        async def later(self) -> Response:
            await asyncio.sleep(0)
            return Response("later")

    assert await live(Plain).text() == "later"


@on_every_loop
async def test_stop_iteration_of_a_plain_handler_is_an_error_not_a_result(live: MakeHarness) -> None:
    class Plain(DurableObject):
        def fetch(self, request: Request) -> Any:
            return next(iter(()))

    with pytest.raises(ObjectError, match="StopIteration"):
        await live(Plain).fetch()


@on_every_loop
async def test_tasks_that_nobody_awaits_run_and_pin_the_object(live: MakeHarness) -> None:
    log: list[str] = []
    go: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def poll() -> None:
        await go
        log.append("polled")

    async def handler(self: Any) -> str:
        self.task = asyncio.create_task(poll(), name="poll")
        return "started"

    room = live(Runner, env=handler)
    assert await room.text() == "started"
    assert room.alive.pinned_by() == ["task poll"]
    assert room.alive.idle_since is None
    go.set_result(None)
    await settle()
    assert log == ["polled"]
    assert room.alive.pinned_by() == []
    assert room.alive.idle_since == room.clock.now


@on_every_loop
async def test_an_error_of_a_task_that_nobody_awaits_is_told_to_the_loop(live: MakeHarness) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    async def fails() -> None:
        raise LookupError("unseen")

    async def handler(_: Any) -> str:
        asyncio.create_task(fails())  # noqa: RUF006 - that nobody keeps it is the point
        return ""

    await ran(live, handler)
    await settle()
    gc.collect()
    assert told == ["unseen"]


@on_every_loop
async def test_tasks_made_outside_of_objects_are_what_they_always_were(live: MakeHarness) -> None:
    async def handler(_: Any) -> str:
        return "x"

    await ran(live, handler)
    task = asyncio.create_task(asyncio.sleep(0), name="mine")
    assert type(task) is asyncio.Task
    assert task.get_name() == "mine"
    await task
