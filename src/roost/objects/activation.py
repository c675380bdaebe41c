"""One life of an object in memory: the wiring of its parts."""

# (1) The constructor runs first, once what is stored can be read; events begin once it, and every section that it
#     started, are through.
# (2) An activation ends once, for a reason. Afterwards its code may still run to its own end, but reaches nothing.
# (3) `deliver` may run user code at once. A caller that is itself inside an outlet's `emit` delivers with `call_soon`.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from roost.errors import (
    ConstructionError,
    InputGateBrokenError,
    ObjectResetError,
    OutputGateBrokenError,
    OverloadedError,
    StorageCorruptError,
    StorageError,
)
from roost.events import Event, Fetch, Ring, SocketClosed, SocketFailed, SocketMessage
from roost.ids import ObjectId
from roost.objects.alarms import Alarms
from roost.objects.background import Background
from roost.objects.context import DurableObjectState
from roost.objects.critical_section import begin_section
from roost.objects.current_task import restore_current_task
from roost.objects.delivery import Delivery, note_arrival
from roost.objects.doom import Doom
from roost.objects.durable_object import DurableObject
from roost.objects.ending import carry_out
from roost.objects.handlers import Handlers
from roost.objects.lifecycle import ENDED, Happening, State, after
from roost.objects.object_tasks import ObjectTasks
from roost.objects.periodic import Periodics
from roost.objects.pins import PinnedTime, lingering, pins, unfinished
from roost.objects.remains import missing, take_apart
from roost.objects.row_count import RowCount
from roost.objects.shutdown import Shutdown
from roost.objects.sockets import Sockets
from roost.objects.streamed_body import StreamedBody
from roost.objects.surroundings import Surroundings
from roost.objects.tasks import install_task_factory
from roost.objects.turn import ObjectTask
from roost.objects.turn_loop import FINISH, TurnLoop
from roost.storage.storage import Storage

T = TypeVar("T")


class Activation(TurnLoop):
    """The live object: takes events, runs its handlers, hands out its effects. Belongs to the running loop."""

    def __init__(
        self,
        object_id: ObjectId,
        cls: type[DurableObject],
        env: Any,
        surroundings: Surroundings,
        unheard: Sequence[Event] = (),
    ) -> None:
        """`unheard` is what the life before left over: it comes before everything else."""
        super().__init__(surroundings, interleave=cls.interleave)
        install_task_factory(self.loop)
        self.object_id = object_id
        self.state = State.NEW
        self._cls = cls
        self._env = env
        self.tasks = ObjectTasks(self)
        self.sockets = Sockets(self)
        self.alarms = Alarms(self)
        self.delivery = Delivery(self)
        self._begin = self.delivery.begin
        self._message = self.delivery.begin_message
        self.background = Background(self)
        self.periodics = Periodics(self)
        self.shutdown = Shutdown(self)
        self.streams: dict[StreamedBody, None] = {}
        self.socket_event_ms: int | None = None
        self.constructed = False
        """The constructor has returned; what it started may be under way."""
        self.opened = False
        """Events could begin: it was constructed."""
        self.leftovers: list[Event] = []
        """Once it has ended: what is for the next life. After a reset, what the hibernating sockets told and no handler
        heard; after hibernation, what came during `pre_shutdown`, requests among it."""
        self._pinned_time = PinnedTime(self.meter)
        self._rows = RowCount(self.storage)
        self._drained: asyncio.Future[None] | None = None
        if unheard:
            self.gate.line_up_first(unheard)

    # -- coming to life ------------------------------------------------------------------------------------------------

    def start(self, cause: str = "call") -> None:
        """Construct the object now. What the constructor raises goes to the requests that wait."""
        if self.state is State.NEW:
            self._move(Happening.FIRST_EVENT)
            self.meter.activation("wake" if self.surroundings.roll.sockets else cause)
            self.outbox.hold()
            if self.storage.prepare(self._prepared):
                self._prepared(None)

    def _prepared(self, error: StorageError | None) -> None:
        """What is stored can be read: it was recovered after a crash, or taken back to its past, where that was due."""
        if self.ended:
            return
        if error is None:
            self._turn(Activation._construct, self)
            self._pump()
        else:
            failure = ConstructionError(f"what the object stored cannot be had now: {error}")
            self._befall("constructor", _because(failure, error))

    @property
    def starting(self) -> bool:
        """Whether it is being constructed."""
        return self.state is not State.NEW and not self.opened

    def _construct(self) -> None:
        # What a former life wrote can be read already; until it is durable nothing may leave that could tell of it.
        self.outbox.hold()
        self.storage.when_durable(self._former_lives_durable)
        task = ObjectTask(self, self.tasks.base.copy(), self.gate.root, self._constructor_done)
        task.set_name("constructor")
        task.begin(self._make_instance, ())

    def _make_instance(self) -> Handlers:
        if self.object_id.name is None:  # whoever woke it knows its id alone, as alarms may; its file has the name
            self.object_id.name = self.storage.stored_name()
        context = DurableObjectState(self, Storage(self.storage, self, self.surroundings.limits))
        instance = self._cls.__new__(self._cls)
        instance.ctx, instance.env = context, self._env  # so that a class may leave out super().__init__
        instance.__init__(context, self._env)  # type: ignore[misc]
        return Handlers(instance)

    def _constructor_done(self, task: ObjectTask) -> None:
        if task.error is None:
            self.constructed = True
            self.delivery.construct(task.result_value)
            return
        error = ConstructionError(f"the constructor of the object failed: {task.error}")
        self._befall("constructor", _because(error, task.error))

    def _former_lives_durable(self, error: StorageError | None) -> None:
        if error is not None:
            self.output_gate.break_(error)
        else:
            self.outbox.let_go()

    def _before_choosing(self) -> None:
        """The object is ready once its constructor, and every section started in it, are through."""
        gate = self.gate
        if (
            self.constructed
            and not self.opened
            and gate.inner is gate.root
            and not gate.root.queue
            and not gate.root.waits
        ):
            gate.open = self.opened = True
            self._move(Happening.CONSTRUCTED)
            self.surroundings.observer.notify("object.constructed", id=self.object_id)
            self.outbox.let_go()

    # -- events --------------------------------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """Take an event; it begins at once when nothing is in its way.

        A request that is one too many fails with OverloadedError.
        """
        if type(event) is SocketMessage:
            self._deliver_alone(event)
            return
        if type(event) is Fetch and self.gate.free:
            self._at_once(event)
        else:
            note_arrival(event)
            self.line_up(event)

    def _deliver_alone(self, message: SocketMessage) -> None:
        previous = asyncio.current_task(self.loop)
        try:
            owed = self.deliver_message(message.socket, message.data)
        finally:
            restore_current_task(self.loop, previous)
        if owed == FINISH:
            self.outbox.finish(message.socket)
        if owed:
            self.end_turns()

    def line_up(self, event: Event) -> None:
        """The event waits at the gate; after the end of this life it has come too late."""
        if self.ended:
            if isinstance(event, Fetch):
                event.fail(ObjectResetError("this life of the object has ended"))
            elif isinstance(event, Ring):
                event.end(False)
            return
        try:
            self.gate.line_up_event(event)
        except OverloadedError as error:
            assert isinstance(event, Fetch), "only requests are refused"
            event.fail(error)
            return
        if self.state is State.NEW:
            self.start("alarm" if type(event) is Ring else "call")
        else:
            self._pump()

    def deliver_first(self, events: Iterable[Event]) -> None:
        """Events that came before all that wait, and were set aside."""
        self.gate.line_up_first(events)
        self.look_soon()

    def hears_end(self, event: SocketClosed | SocketFailed) -> bool:
        """Whether the class has a method for it."""
        name = "web_socket_close" if type(event) is SocketClosed else "web_socket_error"
        return getattr(self._cls, name, None) is not None

    def event_task(self, on_done: Callable[[ObjectTask], None], event: Event) -> ObjectTask:
        """The task that an event's handler runs in."""
        return ObjectTask(self, self.tasks.base.copy(), self.gate.root, on_done, event)

    def suspended(self, task: ObjectTask) -> None:
        """A task's first suspension."""
        self.tasks.live[task] = None
        event = task.event
        if event is not None:
            self.gate.events += 1
            self.gate.stirred = True
            if self.socket_event_ms is not None and type(event) is not Fetch and type(event) is not Ring:
                self.background.limit(task, self.socket_event_ms)

    def event_ended(self, task: ObjectTask) -> None:
        """The handler of an event is through."""
        if task.seen:
            self.gate.events -= 1
            self.gate.stirred = True
            self.tasks.forget(task)
            self.background.ended(task)

    # -- what user code asks for ---------------------------------------------------------------------------------------

    def current_task(self) -> ObjectTask | None:
        """The task of an object that is running."""
        task: Any = asyncio.current_task(self.loop)
        return task if type(task) is ObjectTask else None

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

    def block_concurrency_while(self, fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Run `fn` with everything else kept out; its exception resets the object."""
        return begin_section(self, fn, resets=True)

    def stream_ended(self, body: StreamedBody) -> None:
        """A streamed response produces nothing more."""
        self.streams.pop(body, None)
        self._nobody_left()

    def report(self, what: str, error: BaseException) -> None:
        """User code failed where nobody waits for it."""
        self.meter.error(type(error).__name__)
        self.surroundings.observer.report("object.handler_failed", what, error, id=self.object_id)

    # -- dooms ---------------------------------------------------------------------------------------------------------

    def abort(self, error: BaseException, *, retry_alarm: bool = True) -> None:
        """The object asks to be reset."""
        if self.doom is None:
            self.alarms.retry = retry_alarm
        self._befall("abort", ObjectResetError(str(error)))

    def section_failed(self, name: str, error: BaseException) -> None:
        """A critical section raised, or took too long."""
        kind = InputGateBrokenError if self.gate.open else ConstructionError
        message = f"the object was reset: {name} under block_concurrency_while failed: {error}"
        self._befall("critical section", _because(kind(message), error))

    def event_too_long(self, milliseconds: int) -> None:
        """An event of a WebSocket took longer than the object allows."""
        self._befall("timeout", ObjectResetError(f"an event of a WebSocket took longer than {milliseconds} ms"))

    def alarm_too_long(self, error: TimeoutError) -> None:
        """A run of an alarm goes on though it was cancelled."""
        self._befall("timeout", _because(ObjectResetError(f"the object was reset: {error}"), error))

    def _storage_failed(self, error: StorageError) -> None:
        if isinstance(error, StorageCorruptError):  # nothing has to have been written for that
            self._befall("storage", _because(StorageCorruptError(str(error)), error))
            return
        broken = OutputGateBrokenError(f"a write of the object could not be made durable: {error}")
        self._befall("storage", _because(broken, error))

    def _befall(self, cause: str, error: Exception) -> None:
        """The object must end; at the end of the turn that is under way, or now."""
        if self.doom is not None or self.ended:
            return
        self.doom = Doom(cause, error, Happening.FAILURE)
        self.gate.stirred = True
        if not self.gate.running:
            self._carry_out(self.doom)

    def _internal_error(self, error: BaseException) -> None:
        # Rather an end than an object that hangs.
        if not self.ended:
            broken = _because(ObjectResetError(f"internal error: {error!r}"), error)
            self.doom = Doom("internal error", broken, Happening.FAILURE)
            self._carry_out(self.doom)

    def _carry_out(self, doom: Doom) -> None:
        carry_out(self, doom)

    # -- going ---------------------------------------------------------------------------------------------------------

    def pinned_by(self) -> list[str]:
        """Why it may not hibernate now, in words: "2 events under way", "active WebSocket", "task poll", …"""
        self.settle_meter()
        reasons = pins(self)
        self._pinned_time.look(lingering(self), self.stopwatch.now(), self.stopwatch.stopped_at)
        return reasons

    def settle_meter(self) -> None:
        """Bring the meter up to date: turns, messages and rows are told to it from time to time, not one by one."""
        self.delivery.count()
        self.stopwatch.settle()
        self._rows.settle(self.meter)
        self.meter.sync_ms += self.output_gate.take_closed_seconds() * 1000

    @property
    def idle_since(self) -> float | None:
        """When its last turn ended, on the clock's monotonic time; None while it may not hibernate."""
        return None if self.ended or self.pinned_by() else self.stopwatch.stopped_at

    def hibernate(self) -> None:
        """Drop the memory, after `pre_shutdown` if it has one; the hibernating sockets stay. It must not be pinned.

        What is to be flushed is flushed first. When that cannot be done the object stays awake.
        """
        reasons = self.pinned_by()
        assert not reasons, f"{self.object_id!r} is pinned by {', '.join(reasons)}"
        self.shutdown.before_sleep(lambda: self._carry_out(Doom("hibernation", None, Happening.SLEEP)))

    def shut_down(self, reason: str) -> asyncio.Future[None] | None:
        """Let the object know, by `pre_shutdown`, that its host leaves; done when that is over. None when there is
        nothing to wait for.

        Events go on afterwards, for those who come late: what calls it may be other objects' `pre_shutdown`.
        """
        self.periodics.leave()
        return self.shutdown.before_leaving(reason)

    def drain(self) -> asyncio.Future[None]:
        """No new events will come: the result is done when what is under way has ended and all effects have left.

        Tasks that nobody waits for are not waited for either; `stop` ends them.
        """
        if self._drained is None or (self._drained.done() and not self.ended and unfinished(self)):
            self._drained = self.loop.create_future()
            if not self.ended:
                self._move(Happening.DRAIN)
        self._nobody_left()
        return self._drained

    def _nobody_left(self) -> None:
        drained = self._drained
        if drained is not None and not drained.done() and (self.ended or not unfinished(self)):
            drained.set_result(None)

    def stop(self, reason: BaseException) -> None:
        """End now: what waits and what is under way fails with the reason, active sockets close with 1012."""
        if not self.ended:
            self.doom = Doom("stop", reason, Happening.STOP)
            self._carry_out(self.doom)

    def finish_life(self, happening: Happening) -> None:
        """The end was carried out."""
        self.settle_meter()
        self._move(happening)
        self._nobody_left()

    def _move(self, happening: Happening) -> None:
        self.state = after(self.state, happening)
        self.ended = self.state in ENDED

    def take_apart(self) -> None:
        """Once it has hibernated, and nothing of it is on the stack: let go of its parts; see `remains`."""
        take_apart(self)

    if not TYPE_CHECKING:  # all is there while it lives

        def __getattr__(self, name: str) -> Any:
            raise missing(self, name)

    def __repr__(self) -> str:
        return f"<Activation of {self.object_id!r}, {self.state}>"


def _because(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error
