"""One life of an object in memory: the wiring of its parts."""

# Everything that runs in the object runs in a turn, and every turn goes through `_turn`:
#
#  (1) The input gate chose what runs; nothing else of the object runs until the turn's effects have left or are held.
#  (2) When the turn ends, what it wrote is committed, then its effects are stamped with what they must wait for.
#  (3) A doom that befell the object during the turn (abort, a failed section or commit) is carried out at its end.
#  (4) An activation ends once. Afterwards its code may still run to its own end, but reaches nothing any more.
#
# `deliver` may run user code at once. A caller that is itself inside an outlet's `emit` delivers with `call_soon`.

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from roost.errors import ConstructionError, InputGateBrokenError, ObjectResetError, OutputGateBrokenError, StorageError
from roost.events import Event, Fetch, SocketMessage
from roost.ids import ObjectId
from roost.meter import Meter
from roost.objects.background import Background
from roost.objects.context import DurableObjectState
from roost.objects.critical_section import CriticalSection, begin_section
from roost.objects.delivery import Delivery, note_arrival
from roost.objects.doom import Doom
from roost.objects.durable_object import DurableObject
from roost.objects.ending import carry_out
from roost.objects.gates import InputGate, OutputGate, Section
from roost.objects.handlers import Handlers
from roost.objects.inbox import Inbox
from roost.objects.lifecycle import ENDED, Happening, State, after
from roost.objects.outbox import Outbox
from roost.objects.sockets import Sockets
from roost.objects.stopwatch import Stopwatch
from roost.objects.streamed_body import StreamedBody
from roost.objects.surroundings import Surroundings
from roost.objects.tasks import HERE, install_task_factory
from roost.objects.turn import ObjectTask
from roost.storage.storage import Storage

T = TypeVar("T")

TURNS_AT_ONCE = 64
"""Turns that one object may take before the rest of the loop has its turn."""


class Activation:
    """The live object: takes events, runs its handlers, hands out its effects. Belongs to the running loop."""

    def __init__(self, object_id: ObjectId, cls: type[DurableObject], env: Any, surroundings: Surroundings) -> None:
        self.object_id = object_id
        self.surroundings = surroundings
        self.state = State.NEW
        self.ended = False
        self.loop = asyncio.get_running_loop()
        install_task_factory(self.loop)
        self.home = contextvars.copy_context()
        self.home.run(HERE.set, None)
        self._cls = cls
        self._env = env
        self.meter: Meter = surroundings.meter
        self.storage = surroundings.open_storage()
        self.gate = InputGate(self, Inbox(surroundings.limits, self.meter), interleave=cls.interleave)
        self.output_gate = OutputGate(
            surroundings.clock, surroundings.limits.output_gate_seconds_max, self._commit_durable, self._storage_failed
        )
        self.outbox = Outbox(surroundings.outlet, self.gate, self.output_gate, self.meter, self._stray)
        self.sockets = Sockets(self)
        self.delivery = Delivery(self, self.sockets)
        self.background = Background(self)
        self.tasks: set[ObjectTask] = set()
        """Everything that was suspended and is not done, and the tasks that user code created."""
        self.streams: dict[StreamedBody, None] = {}
        self.socket_event_ms: int | None = None
        self.constructed = False
        """The constructor has returned; what it started may be under way."""
        self.doom: Doom | None = None
        self._context = self.home.copy()
        self._context.run(HERE.set, self.gate.root)
        self._stopwatch = Stopwatch(surroundings.clock, self.meter)
        self._stray_soon = self._look_is_due = False
        self._drained: asyncio.Future[None] | None = None
        self.storage.on_dirty = self._first_write
        self.storage.on_failure = self.output_gate.break_

    # -- coming to life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Construct the object now. What the constructor raises goes to the events that wait."""
        if self.state is State.NEW:
            self._move(Happening.FIRST_EVENT)
            self.meter.activation("wake" if self.surroundings.roll.sockets else "call")
            self.outbox.hold()
            self._turn(self._construct)
            self._pump()

    def _construct(self) -> None:
        # What a former life wrote can be read already; until it is durable nothing may leave that could tell of it.
        self.outbox.hold()
        self.storage.when_durable(self._former_lives_durable)
        task = ObjectTask(self, self._context.copy(), self.gate.root, self._constructor_done)
        task.set_name("constructor")
        task.begin(self._make_instance, ())

    def _make_instance(self) -> Handlers:
        context = DurableObjectState(self, Storage(self.storage, self, self.surroundings.limits))
        instance = self._cls.__new__(self._cls)
        instance.ctx, instance.env = context, self._env  # so that a class may leave out super().__init__
        instance.__init__(context, self._env)  # type: ignore[misc]
        return Handlers(instance)

    def _constructor_done(self, task: ObjectTask) -> None:
        if task.error is not None:
            self.construction_failed(task.error)
        else:
            self.constructed = True
            self.delivery.construct(task.result_value)

    def _former_lives_durable(self, error: StorageError | None) -> None:
        if error is not None:
            self.output_gate.break_(error)
        else:
            self.outbox.let_go()

    def _open_gate(self) -> None:
        """The object is ready once its constructor, and every section started in it, are through."""
        gate = self.gate
        if self.constructed and gate.inner is gate.root and not gate.root.queue and not gate.root.waits:
            gate.open = True
            self._move(Happening.CONSTRUCTED)
            self.surroundings.observer.notify("object.constructed", id=self.object_id)
            self.outbox.let_go()

    # -- events --------------------------------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Take an event; it begins at once when nothing is in its way. A request that is one too many fails with
        OverloadedError.
        """
        if self.gate.free and type(event) is SocketMessage:
            self._turn(self.delivery.message, event)
            if self.gate.stirred:
                self._pump()
            return
        note_arrival(event)
        if self.ended:
            self._refuse(event)
            return
        try:
            self.gate.line_up_event(event)
        except Exception as error:  # noqa: BLE001 - OverloadedError; the caller is told
            assert isinstance(event, Fetch), "only requests are refused"
            event.fail(error)
            return
        if self.state is State.NEW:
            self.start()
        else:
            self._pump()

    def deliver_first(self, events: Iterable[Event]) -> None:
        """Events that came before all that wait, and were set aside."""
        self.gate.inbox.put_first(events)
        self.gate.stirred = True
        self.gate.free = False
        self.look_soon()

    def _refuse(self, event: Event) -> None:
        if isinstance(event, Fetch):
            event.fail(ObjectResetError("this life of the object has ended"))

    def event_task(self, on_done: Callable[[ObjectTask], None], event: Event) -> ObjectTask:
        """The task that an event's handler runs in."""
        return ObjectTask(self, self._context.copy(), self.gate.root, on_done, event)

    def event_ended(self, task: ObjectTask) -> None:
        if task.seen:
            self.gate.events -= 1
            self.gate.stirred = True
            self.forget(task)
            self.background.ended(task)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _turn(self, run: Callable[..., None], *arguments: Any) -> None:
        """Run one step of the object's code, then end the turn."""
        gate = self.gate
        gate.running, gate.free = True, False
        self._stopwatch.start(under_way=gate.events)
        try:
            run(*arguments)
            if self.doom is None:
                if self.storage.dirty:
                    self._commit()
                self.outbox.end_turn()
            if self.doom is not None and not self.ended:
                carry_out(self, self.doom)
        except BaseException as error:
            self._broken_assumption(error)
            raise
        finally:
            gate.running = False
            self._stopwatch.stop()
        if not gate.stirred:
            gate.free = True

    def _commit(self) -> None:
        """End the turn's transaction. Effects made before its first write do not wait for it."""
        confirmed = self.storage.confirmed
        if confirmed:
            self.outbox.stamp_before_write()
        try:
            number = self.storage.commit(self.output_gate.finished)
        except StorageError as error:
            self.output_gate.break_(error)
        else:
            self.output_gate.commit(number, confirmed=confirmed)
            self.meter.commits += 1

    def _first_write(self) -> None:
        self.outbox.mark_write()
        if not self.gate.running:
            self._stray()

    def _stray(self) -> None:
        """Something was written or sent outside of a turn, for instance by a timer of the loop: give it one of its own."""
        if not self._stray_soon and not self.ended:
            self._stray_soon = True
            self.loop.call_soon(self._end_stray, context=self.home)

    def _end_stray(self) -> None:
        self._stray_soon = False
        if not self.ended:
            self._turn(_nothing)
            self._pump()

    def _pump(self) -> None:
        """Let those run whose turn it is, until nobody is left that may."""
        gate = self.gate
        if gate.running or self._look_is_due:
            return
        for _ in range(TURNS_AT_ONCE):
            if self.ended:
                return
            if not gate.open:
                self._open_gate()
            chosen = gate.choose()
            if chosen is None:
                gate.settle()
                self._look_whether_drained()
                return
            self._run(chosen)
        self.look_soon()

    def _run(self, chosen: Any) -> None:
        if type(chosen) is ObjectTask:
            self._turn(chosen.step)
        elif type(chosen) is CriticalSection:
            self._turn(chosen.run)
        else:
            self._turn(self.delivery.begin[type(chosen)], chosen)

    def look_soon(self) -> None:
        """Somebody was lined up outside of a turn: see who may run."""
        if not self.gate.running and not self._look_is_due:
            self._look_is_due = True
            self.loop.call_soon(self._look, context=self.home)

    def _look(self) -> None:
        self._look_is_due = False
        self._pump()

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def resume(self, task: ObjectTask) -> None:
        """A task could go on: now, or when the gate lets it in."""
        if self.ended:
            if not task.is_done:
                task.step()
            return
        gate = self.gate
        if gate.free:
            self._turn(task.step)
            if gate.stirred:
                self._pump()
        else:
            gate.line_up(task)
            self._pump()

    def suspended(self, task: ObjectTask) -> None:
        """A task's first suspension."""
        self.tasks.add(task)
        asyncio.tasks._register_task(task)  # type: ignore[arg-type]
        event = task.event
        if event is not None:
            self.gate.events += 1
            self.gate.stirred = True
            if self.socket_event_ms is not None and type(event) is not Fetch:
                self.background.limit(task, self.socket_event_ms)

    def forget(self, task: ObjectTask) -> None:
        """The task is done."""
        self.tasks.discard(task)
        if task.seen:
            asyncio.tasks._unregister_task(task)  # type: ignore[arg-type]

    def create_task(
        self,
        coroutine: Coroutine[Any, Any, Any],
        section: Section,
        context: contextvars.Context | None,
        name: str | None,
    ) -> ObjectTask:
        """A task that user code asked for."""
        context = contextvars.copy_context() if context is None else context
        context.run(HERE.set, section)
        task = self._new_task(coroutine, section, context, name, self._task_done)
        task.expose()
        return task

    def start_task(
        self, coroutine: Coroutine[Any, Any, Any], name: str, on_done: Callable[[ObjectTask], None]
    ) -> ObjectTask:
        """A task of the object that roost asked for."""

        def done(task: ObjectTask) -> None:
            self._task_done(task)
            on_done(task)

        return self._new_task(coroutine, self.gate.root, self._context.copy(), name, done)

    def _new_task(
        self,
        coroutine: Coroutine[Any, Any, Any],
        section: Section,
        context: contextvars.Context,
        name: str | None,
        on_done: Callable[[ObjectTask], None],
    ) -> ObjectTask:
        task = ObjectTask(self, context, section, on_done)
        task.adopt(coroutine)
        if name is not None:
            task.set_name(name)
        task.seen = True
        self.suspended(task)
        self.loop.call_soon(self.resume, task, context=self.home)
        return task

    def _task_done(self, task: ObjectTask) -> None:
        self.forget(task)
        self.gate.stirred = True

    def current_task(self) -> ObjectTask | None:
        """The task of this object that is running."""
        task: Any = asyncio.current_task(self.loop)
        return task if type(task) is ObjectTask else None

    # -- what user code asks for ---------------------------------------------------------------------------------------

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        self.background.wait_until(awaitable)

    def depart(self, leave: Callable[[], None]) -> None:
        """Let something leave, a call of a stub for instance, once all that was written before is durable."""
        self.outbox.add_departure(leave)

    async def wait_for_storage(self, future: asyncio.Future[T]) -> T:
        """Wait for a future with the input gate closed for everybody else."""
        task = self.current_task()
        if task is None or future.done():
            return await future
        self.gate.close_for(task)
        try:
            return await future
        finally:
            self.gate.reopen_after(task)

    async def critical_section(self, fn: Callable[[], Awaitable[T]]) -> T:
        """Run `fn` with everything else kept out; its exception is passed on."""
        return await begin_section(self, fn, resets=False)

    def stream_ended(self, body: StreamedBody) -> None:
        self.streams.pop(body, None)

    def report(self, what: str, error: BaseException) -> None:
        """User code failed where nobody waits for it."""
        self.meter.error(type(error).__name__)
        self.surroundings.observer.report("object.handler_failed", what, error, id=self.object_id)

    # -- dooms ---------------------------------------------------------------------------------------------------------

    def abort(self, error: BaseException) -> None:
        """The object asks to be reset."""
        self._befall("abort", ObjectResetError(str(error)))

    def construction_failed(self, error: BaseException) -> None:
        self._befall(
            "constructor", _because(ConstructionError(f"the constructor of the object failed: {error}"), error)
        )

    def section_failed(self, name: str, error: BaseException) -> None:
        message = f"the object was reset: {name} under block_concurrency_while failed: {error}"
        kind = ConstructionError if not self.gate.open else InputGateBrokenError
        self._befall("critical section", _because(kind(message), error))

    def event_too_long(self, milliseconds: int) -> None:
        self._befall("timeout", ObjectResetError(f"an event of a WebSocket took longer than {milliseconds} ms"))

    def _storage_failed(self, error: StorageError) -> None:
        self._befall(
            "storage",
            _because(OutputGateBrokenError(f"a write of the object could not be made durable: {error}"), error),
        )

    def _befall(self, cause: str, error: Exception) -> None:
        """The object must end; at the end of the turn that is under way, or now."""
        if self.doom is not None or self.ended:
            return
        self.doom = Doom(cause, error, Happening.FAILURE)
        self.gate.stirred = True
        if not self.gate.running:
            self._turn(_nothing)

    def _broken_assumption(self, error: BaseException) -> None:
        """Roost itself failed inside a turn: rather an end than an object that hangs."""
        if not self.ended:
            self.doom = Doom(
                "internal error", _because(ObjectResetError(f"internal error: {error!r}"), error), Happening.FAILURE
            )
            carry_out(self, self.doom)

    def _commit_durable(self) -> None:
        self.outbox.release()
        self._look_whether_drained()

    # -- going ---------------------------------------------------------------------------------------------------------

    def pinned_by(self) -> list[str]:
        """Why it may not hibernate now, in words; empty when it may."""
        gate = self.gate
        reasons = [f"{gate.events} event{'s'[: gate.events != 1]} under way"] if gate.events else []
        if gate.inbox:
            reasons.append(f"{len(gate.inbox)} waiting")
        if self.state is State.STARTING:
            reasons.append("being constructed")
        if gate.inner is not gate.root or gate.root.queue:
            reasons.append("critical section")
        if self.sockets.active:
            reasons.append("active WebSocket")
        if self.streams:
            reasons.append("streamed response")
        reasons += self.background.reasons()
        reasons += [
            f"task {task.get_name()}" for task in self.tasks if task.event is None and not self.background.has(task)
        ]
        if self.output_gate.pending or not self.outbox.is_empty:
            reasons.append("writes that are not durable yet")
        return reasons

    @property
    def idle_since(self) -> float | None:
        """When its last turn ended, on the clock's monotonic time; None while it may not hibernate."""
        return None if self.ended or self.pinned_by() else self._stopwatch.stopped_at

    def hibernate(self) -> None:
        """Drop the memory; the hibernating sockets stay. It must not be pinned."""
        reasons = self.pinned_by()
        assert not reasons, f"{self.object_id!r} is pinned by {', '.join(reasons)}"
        carry_out(self, Doom("hibernation", None, Happening.SLEEP))

    def drain(self) -> asyncio.Future[None]:
        """No new events will come: the result is done when what is under way has ended and all effects have left.

        Tasks that nobody waits for are not waited for either; `stop` ends them.
        """
        if self._drained is None:
            self._drained = self.loop.create_future()
            if not self.ended:
                self._move(Happening.DRAIN)
        self._look_whether_drained()
        return self._drained

    def _look_whether_drained(self) -> None:
        drained, gate = self._drained, self.gate
        if drained is None or drained.done():
            return
        if self.ended or not (
            gate.events
            or gate.inbox
            or gate.inner is not gate.root
            or self.streams
            or self.background.reasons()
            or self.output_gate.pending
            or not self.outbox.is_empty
        ):
            drained.set_result(None)

    def stop(self, reason: BaseException) -> None:
        """End now: what waits and what is under way fails with the reason, active sockets close with 1012."""
        if not self.ended:
            self.doom = Doom("stop", reason, Happening.STOP)
            carry_out(self, self.doom)

    def finish_life(self, happening: Happening) -> None:
        """The end was carried out."""
        self._move(happening)
        self._look_whether_drained()

    def _move(self, happening: Happening) -> None:
        self.state = after(self.state, happening)
        self.ended = self.state in ENDED

    def __repr__(self) -> str:
        return f"<Activation of {self.object_id!r}, {self.state}>"


def _because(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def _nothing() -> None:
    pass
