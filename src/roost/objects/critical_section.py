"""`block_concurrency_while`: code during which nothing else of the object runs."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from roost.errors import InvalidStateError, LimitExceededError, WrongTypeError
from roost.objects.gates import Section
from roost.objects.tasks import HERE
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation

T = TypeVar("T")


class CriticalSection(Section, Generic[T]):
    """A section with the function that runs in it. Awaiting it gives the function's value; it need not be awaited."""

    __slots__ = ("_context", "_fn", "_future", "_resets")

    def __init__(self, activation: Activation, parent: Section, fn: Any, *, resets: bool) -> None:
        super().__init__(activation, parent, _name_of(fn))
        self._fn = fn
        self._resets = resets
        """Whether an exception of the function resets the object; otherwise it is passed on."""
        self._future: asyncio.Future[T] = activation.loop.create_future()
        self._context = copy_context()
        self._context.run(HERE.set, self)

    def run(self) -> None:
        """The section has the gate: run its function to the first suspension."""
        activation: Activation = self.owner
        seconds = activation.surroundings.limits.critical_section_seconds_max
        self.timer = activation.surroundings.clock.call_later(seconds, self._too_long)
        task = ObjectTask(activation, self._context, self, self._through)
        task.listed = False
        task.set_name(f"block_concurrency_while({self.name})")
        fn = self._fn if callable(self._fn) else functools.partial(_itself, self._fn)
        task.begin(fn, ())

    def _through(self, task: ObjectTask) -> None:
        """The function returned or raised."""
        activation: Activation = self.owner
        activation.tasks.forget(task)
        self.stop_timer()
        if activation.ended:
            return
        if task.error is not None and (self._resets or not isinstance(task.error, Exception)):
            activation.section_failed(self.name, task.error)
            return
        self.outcome = task
        self.returned = True
        for section in activation.gate.end_sections():
            assert isinstance(section, CriticalSection)
            section._tell()

    def _tell(self) -> None:
        """The section is over, nested ones too: whoever awaits it goes on."""
        task = self.outcome
        assert task is not None, "a section that ended has returned"
        if self._future.done():
            return
        if task.error is None:
            self._future.set_result(task.result_value)
        else:
            self._future.set_exception(task.error)
            self._future.exception()  # an error that nobody awaits is not reported at the collection of garbage

    def drop(self) -> None:
        """The object's life has ended before the section began."""
        if inspect.iscoroutine(self._fn):
            self._fn.close()

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _too_long(self) -> None:
        seconds = self.owner.surroundings.limits.critical_section_seconds_max
        self.owner.section_failed(self.name, TimeoutError(f"it was not through after {seconds:g} seconds"))

    def __await__(self) -> Generator[Any, None, T]:
        if self._future.done():
            return self._future.result()
        task = self.owner.current_task()
        if task is None:
            return (yield from self._future.__await__())
        gate = self.owner.gate
        gate.await_section(self, task)
        try:
            return (yield from self._future.__await__())
        finally:
            gate.got_section(self, task)

    def __repr__(self) -> str:
        return f"<critical section {self.name}, {'over' if self.ended else 'not over'}; await it for its value>"


def begin_section(
    activation: Activation, fn: Callable[[], Awaitable[T]] | Awaitable[T], *, resets: bool
) -> CriticalSection[T]:
    """Line up a section behind the present step. Raises LimitExceededError when sections are nested too deeply."""
    if activation.ended:
        raise InvalidStateError("this life of the object has ended: nothing can be started in it")
    if not callable(fn) and not inspect.isawaitable(fn):
        raise WrongTypeError(f"block_concurrency_while takes an async function, got {type(fn).__name__}: {fn!r:.80}")
    here = HERE.get()
    parent = (here if here is not None and here.owner is activation else activation.gate.root).living()
    deepest = activation.surroundings.limits.critical_section_depth_max
    if parent.depth >= deepest:
        raise LimitExceededError(
            f"block_concurrency_while may be nested {deepest} times, {_name_of(fn)} is one too many",
            limit=deepest,
            actual=parent.depth + 1,
        )
    section: CriticalSection[T] = CriticalSection(activation, parent, fn, resets=resets)
    activation.gate.line_up_section(section)
    activation.look_soon()
    return section


def _name_of(fn: object) -> str:
    return str(getattr(fn, "__qualname__", None) or getattr(type(fn), "__qualname__", "?"))


def _itself(value: T) -> T:
    return value
