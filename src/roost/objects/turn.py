"""How code of an object runs: step by step, from one suspension to the next."""

# A handler, a critical section and every task that user code creates inside an object is an ObjectTask.
#
#  (1) The first step of a handler runs at once, without a task of the event loop. Most handlers never suspend, and cost
#      a tenth of what a task does.
#  (2) For `asyncio` and libraries an ObjectTask *is* the current task, the same one from its first step to its last:
#      timeouts, task groups, cancel scopes and `wait_for` need that. It answers to the whole interface of asyncio.Task.
#  (3) A step never runs by itself: a future that is ready, or a cancellation, only asks the driver to `resume` the
#      task; the driver calls `step` when the input gate lets it in. So a cancellation too arrives as a turn of its own.
#  (4) What a handler raises never gets into the event loop. SystemExit and KeyboardInterrupt do, after the turn.

from __future__ import annotations

import asyncio
import contextvars
import inspect
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CoroutineType, FrameType
from typing import Any, Protocol, TextIO

from roost.objects.current_task import swap_current_task
from roost.objects.gates import Section

RETURNED = object()
"""In place of what a coroutine yields: it has returned."""


class Driver(Protocol):
    """Who decides when a task runs: the activation."""

    loop: asyncio.AbstractEventLoop
    home: contextvars.Context
    """The context in which futures call back: outside of all objects."""

    def resume(self, task: ObjectTask) -> None:
        """The task could go on; call its `step` when the gate lets it in."""

    def suspended(self, task: ObjectTask) -> None:
        """The task's first suspension: from now on it must be remembered."""


class ObjectTask:
    """A coroutine that runs inside an object. User code meets it as `asyncio.current_task()` and from
    `asyncio.create_task`.
    """

    _asyncio_future_blocking = False
    """That asyncio takes it for a future, as it does a task; awaiting it goes through `_outcome`."""

    passed_on: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit)
    """What is raised in the loop too, as a task's is."""

    # One is made for each event, and most end in their first step: what is as here is not stored in the instance.
    event: Any = None
    """What it handles, where it handles an event."""
    is_done = False
    seen = False
    """Whether it was suspended before."""
    listed = True
    """Whether it is named among what keeps the object in memory; not, where something else stands for it."""
    privileged = 0
    error: BaseException | None = None
    result_value: Any = None
    fut_waiter: Any = None
    _coroutine: Any = None
    _must_cancel = False
    _cancels = 0
    _cancel_message: Any = None
    _thrown: BaseException | None = None
    _outcome: asyncio.Future[Any] | None = None
    _name: str | None = None

    def __init__(
        self,
        driver: Driver,
        context: contextvars.Context,
        section: Section,
        on_done: Callable[[ObjectTask], None],
        event: Any = None,
    ) -> None:
        self._driver = driver
        self.context = context
        self.section = section
        self.on_done = on_done
        if event is not None:
            self.event = event

    # -- running -------------------------------------------------------------------------------------------------------

    def begin(self, handler: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Call a handler, plain or async, and run it to its first suspension."""
        loop = self._driver.loop
        previous = swap_current_task(loop, self)
        try:
            result = self.context.run(handler, *arguments)
            if type(result) is not CoroutineType:
                if not inspect.isawaitable(result):
                    self._finish(result, None)
                    return
                result = _awaited(result)
            self._coroutine = result
            yielded = self.context.run(result.send, None)
        except StopIteration as stop:
            if self._coroutine is None:
                self._finish(None, stop)  # a plain function raised it
            else:
                self._finish(stop.value, None)
        except BaseException as error:  # noqa: BLE001 - (4): whatever it is, it is the outcome of the handler
            self._finish(None, error)
        else:
            self._suspend(yielded)
        finally:
            swap_current_task(loop, previous)

    def adopt(self, coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any]) -> None:
        """The coroutine is what `step` will run."""
        self._coroutine = coroutine

    def step(self) -> None:
        """Run on to the next suspension, or to the end."""
        loop = self._driver.loop
        self.fut_waiter = None
        thrown, self._thrown = self._thrown, None
        if self._must_cancel:
            self._must_cancel = False
            if not isinstance(thrown, asyncio.CancelledError):
                thrown = self._cancelled_error()
        previous = swap_current_task(loop, self)
        try:
            if thrown is None:
                yielded = self.context.run(self._coroutine.send, None)
            else:
                yielded = self.context.run(self._coroutine.throw, thrown)
        except StopIteration as stop:
            self._finish(stop.value, None)
        except BaseException as error:  # noqa: BLE001 - (4)
            self._finish(None, error)
        else:
            self._suspend(yielded)
        finally:
            swap_current_task(loop, previous)
            thrown = None  # or a traceback that holds this frame would hold itself

    def _suspend(self, yielded: Any) -> None:
        driver = self._driver
        if not self.seen:
            self.seen = True
            driver.suspended(self)
        if yielded is None:
            driver.loop.call_soon(driver.resume, self, context=driver.home)
        elif getattr(yielded, "_asyncio_future_blocking", None):
            self._wait_for(yielded)
        else:
            self._throw_soon(RuntimeError(f"{self!r} awaited {yielded!r}, which asyncio cannot wait for"))

    def _wait_for(self, future: Any) -> None:
        driver = self._driver
        future._asyncio_future_blocking = False
        if future is self._outcome:
            self._throw_soon(RuntimeError(f"{self!r} cannot await itself"))
        elif future.get_loop() is not driver.loop:
            self._throw_soon(RuntimeError(f"{self!r} awaited {future!r}, which belongs to another loop"))
        else:
            self.fut_waiter = future
            future.add_done_callback(self._wake, context=driver.home)
            if self._must_cancel and future.cancel(msg=self._cancel_message):
                self._must_cancel = False

    def _wake(self, future: asyncio.Future[Any]) -> None:
        """What it waited for is there."""
        try:
            future.result()
        except BaseException as error:  # noqa: BLE001 - it is thrown where the coroutine waits
            self._thrown = error
        self.fut_waiter = None
        self._driver.resume(self)

    def _throw_soon(self, error: BaseException) -> None:
        self._thrown = error
        self._driver.loop.call_soon(self._driver.resume, self, context=self._driver.home)

    def _finish(self, result: Any, error: BaseException | None) -> None:
        self.is_done = True
        if error is not None:
            self.error = error
        elif result is not None:
            self.result_value = result
        if self._outcome is not None:
            self._tell(self._outcome)
        self.on_done(self)
        if error is not None and isinstance(error, self.passed_on):
            self._driver.loop.call_soon(_raise, error)

    def _tell(self, outcome: asyncio.Future[Any]) -> None:
        if outcome.done():
            return
        if self.error is None:
            outcome.set_result(self.result_value)
        elif isinstance(self.error, asyncio.CancelledError):
            outcome.cancel()
        else:
            outcome.set_exception(self.error)

    def expose(self) -> asyncio.Future[Any]:
        """A future of its outcome, for those who ask for it."""
        if self._outcome is None:
            self._outcome = self._driver.loop.create_future()
            if self.is_done:
                self._tell(self._outcome)
        return self._outcome

    # -- the interface of asyncio.Task ---------------------------------------------------------------------------------

    @property
    def __class__(self) -> type[Any]:
        """That `isinstance(asyncio.current_task(), asyncio.Task)` holds."""
        return asyncio.Task

    @__class__.setter
    def __class__(self, _: type[Any]) -> None:
        raise TypeError("the class of a task cannot be changed")

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask for a CancelledError to be thrown where it waits, as soon as the gate lets it in."""
        if self.is_done:
            return False
        self._cancels += 1
        if self.fut_waiter is not None and self.fut_waiter.cancel(msg=msg):
            return True
        self._must_cancel = True
        self._cancel_message = msg
        return True

    def cancelling(self) -> int:
        return self._cancels

    def uncancel(self) -> int:
        if self._cancels > 0:
            self._cancels -= 1
            if self._cancels == 0:
                self._must_cancel = False
        return self._cancels

    def cancelled(self) -> bool:
        return self.is_done and isinstance(self.error, asyncio.CancelledError)

    def done(self) -> bool:
        return self.is_done

    def result(self) -> Any:
        return self.expose().result()

    def exception(self) -> BaseException | None:
        return self.expose().exception()

    def add_done_callback(
        self, callback: Callable[[Any], object], *, context: contextvars.Context | None = None
    ) -> None:
        self.expose().add_done_callback(_PassTask(self, callback), context=context)

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        return self.expose().remove_done_callback(_PassTask(self, callback))

    def get_name(self) -> str:
        return f"roost-{id(self):x}" if self._name is None else self._name

    def set_name(self, value: object) -> None:
        self._name = str(value)

    def get_coro(self) -> Any:
        return self._coroutine

    def get_context(self) -> contextvars.Context:
        return self.context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._driver.loop

    def get_stack(self, *, limit: int | None = None) -> list[FrameType]:
        frame = getattr(self._coroutine, "cr_frame", None)
        return [] if frame is None or limit == 0 else [frame]

    def print_stack(self, *, limit: int | None = None, file: TextIO | None = None) -> None:
        for frame in self.get_stack(limit=limit):
            traceback.print_stack(frame, limit=limit, file=file)

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from self.expose().__await__())

    __iter__ = __await__

    @property
    def _fut_waiter(self) -> Any:
        """Read by cancel scopes of other libraries, as that of a Task."""
        return self.fut_waiter

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._driver.loop

    def __repr__(self) -> str:
        state = "done" if self.is_done else "pending"
        return f"<ObjectTask {self.get_name()} {state} {getattr(self._coroutine, '__qualname__', '')}>"

    def _cancelled_error(self) -> asyncio.CancelledError:
        message = self._cancel_message
        return asyncio.CancelledError() if message is None else asyncio.CancelledError(message)


class _PassTask:
    """A done callback of the outcome that hands the task on, and is equal to another for the same callback."""

    __slots__ = ("_callback", "_task")

    def __init__(self, task: ObjectTask, callback: Callable[[Any], object]) -> None:
        self._task = task
        self._callback = callback

    def __call__(self, _: asyncio.Future[Any]) -> None:
        self._callback(self._task)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PassTask) and self._callback == other._callback

    def __hash__(self) -> int:
        return hash(self._callback)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _raise(error: BaseException) -> None:
    raise error
