"""The loop of an object: whoever's turn it is runs, then the turn is ended."""

# Everything that runs in the object runs in a turn, and every turn goes through `_turn`:
#
#  (1) The input gate chose what runs; nothing else of the object runs until the turn's effects have left or are held.
#  (2) When the turn ends, what it wrote is committed, then its effects are stamped with what they must wait for.
#  (3) A doom that befell the object during the turn (abort, a failed section or commit) is carried out at its end.
#  (4) What is written or sent outside of any turn, by a timer of the loop for instance, gets a turn of its own.
#  (5) An object takes at most `TURNS_AT_ONCE` turns before the rest of the loop has its turn, whatever came for it.
#  (6) What the turns of messages that came together send may leave together, as long as none of them writes, fails, or
#      has anything else of the object wait: `deliver_message` says so, and its caller then owes an `end_turns`. Where
#      nothing holds it back, the caller also tells that the message is finished, and saves its effect.

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from roost.errors import StorageError
from roost.events import Event, SocketMessage
from roost.held_socket import HeldSocket
from roost.meter import Meter
from roost.objects.critical_section import CriticalSection
from roost.objects.doom import Doom
from roost.objects.gates import InputGate, OutputGate
from roost.objects.inbox import Inbox
from roost.objects.outbox import NO_RUN, Outbox
from roost.objects.stopwatch import SAMPLED, Stopwatch
from roost.objects.surroundings import Surroundings
from roost.objects.tasks import HERE
from roost.objects.turn import ObjectTask
from roost.storage.object_storage import ObjectStorage
from roost.storage.object_turn import TURN_OVER

TURNS_AT_ONCE = 64

NOTHING, LEAVE, FINISH = range(3)
"""What is owed for a message: see `TurnLoop.deliver_message`."""


class TurnLoop:
    """The gates, the storage and the outbox of an object, and the turns that go through them. Base of Activation."""

    def __init__(self, surroundings: Surroundings, *, interleave: bool) -> None:
        self.surroundings = surroundings
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.home = contextvars.copy_context()
        """Outside of all objects; see `Driver`."""
        self.home.run(HERE.set, None)
        self.meter: Meter = surroundings.meter
        self.ended = False
        self.doom: Doom | None = None
        limits = surroundings.limits
        self.storage: ObjectStorage = surroundings.open_storage()
        self.gate = InputGate(self, Inbox(limits, self.meter), interleave=interleave)
        self.output_gate = OutputGate(
            surroundings.clock, limits.output_gate_seconds_max, self._commit_durable, self._storage_failed
        )
        self.outbox = Outbox(
            surroundings.outlet, self.gate, self.output_gate, self.meter, self._stray, limits.message_bytes_max
        )
        self.stopwatch = Stopwatch(surroundings.clock, self.meter)
        self._begin: dict[type, Callable[[Any], None]] = {}
        """How each kind of event is begun."""
        self._message: Callable[[HeldSocket, str | bytes], bool] = self._begin_message
        self._turns_left = TURNS_AT_ONCE
        """Before the rest of the loop has its turn."""
        self._chosen = self._committed = 0
        self._wrote = self._stray_soon = self._look_is_due = False
        self.storage.on_dirty = self._first_write
        self.storage.on_failure = self.output_gate.break_
        self.storage.cursors.on_first = self._first_cursor

    # -- what an activation adds ---------------------------------------------------------------------------------------

    def _before_choosing(self) -> None:
        """Nothing may have begun yet: see whether events may now."""

    def _nobody_left(self) -> None:
        """Everybody who may run has run."""

    def _carry_out(self, doom: Doom) -> None:
        """End the object."""

    def _internal_error(self, error: BaseException) -> None:
        """Roost itself failed inside a turn."""

    def _storage_failed(self, error: StorageError) -> None:
        """A write was lost."""

    def _begin_message(self, socket: HeldSocket, data: str | bytes) -> bool:
        """Have a message handled; see `Delivery.begin_message`."""
        return True

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _turn(self, run: Callable[[Any], object], argument: Any) -> None:
        """Run one step of the object's code, then end the turn."""
        gate = self.gate
        gate.running = True
        gate.free = False
        watch = self.stopwatch
        started = watch.now()
        if gate.events or watch.is_due:
            watch.start(started, gate.events)
        try:
            run(argument)
            self._end_turn()
        except BaseException as error:
            self._internal_error(error)
            raise
        finally:
            gate.running = False
            watch.stop(started)
            if self.ended:
                watch.settle()
        if not gate.stirred:
            gate.free = gate.open

    def deliver_message(self, socket: HeldSocket, data: str | bytes) -> int:
        """Take a message; it begins at once when nothing is in its way. The result is what the caller owes: NOTHING;
        LEAVE, an `end_turns`; or FINISH, that too, and to tell that the message is finished. It owes it before it does
        anything but give messages to objects, see (6), and then has to put back the loop's current task.
        """
        # The way of nearly every event, so what `_turn` does is written out: see `benchmarks/turns.py`.
        gate = self.gate
        if not gate.free:
            self.line_up(SocketMessage(socket, data))
            return NOTHING
        gate.running = True
        gate.free = False
        watch, outbox = self.stopwatch, self.outbox
        before = len(outbox.turn)
        started = watch.now()
        if gate.events or watch.is_due:
            watch.start(started, gate.events)
        try:
            returned = self._message(socket, data)
            if self._wrote or gate.stirred or self.doom is not None:
                owed = NOTHING
                self._end_message(socket if returned else None, before)
            elif returned and outbox.is_passing:
                owed = FINISH
                text: Any = outbox.fold_data
                if text is not NO_RUN:  # as `end_run` does
                    count = len(outbox.fold_sockets)
                    self.meter.messages_out += count
                    self.meter.bytes_out += count * len(text)
                    outbox.fold_data = NO_RUN
            else:
                owed = LEAVE
                if returned:
                    outbox.finish(socket)
        except BaseException as error:
            self._internal_error(error)
            raise
        finally:
            gate.running = False
            turns = watch.turns + 1
            if turns < SAMPLED and watch.cpu_started is None:  # as `stop` does
                watch.turns = turns
                watch.stopped_at = now = watch.now()
                watch.wall += now - started
            else:
                watch.stop(started)
            if self.ended:
                watch.settle()
        self._turns_left -= 1
        if self._turns_left <= 0:
            gate.stirred = True  # what comes now lines up
            self.look_soon()
        elif gate.stirred:
            self._pump()
        else:
            gate.free = gate.open
        return owed

    def _end_message(self, socket: HeldSocket | None, before: int) -> None:
        """End the turn of a message, finished if it was that of a socket, after `before` effects of other turns."""
        if socket is not None:
            self.outbox.finish(socket)
        self.outbox.end_turns_before(before)
        self._end_turn()

    def _at_once(self, event: Event) -> None:
        """A turn for an event that found the gate free."""
        self._chosen += 1
        self._turn(self._begin[type(event)], event)
        self._turns_left -= 1
        if self._turns_left <= 0:
            self.gate.stirred, self.gate.free = True, False  # what comes now lines up
            self.look_soon()
        elif self.gate.stirred:
            self._pump()

    def line_up(self, event: Event) -> None:
        """The event waits for its turn."""

    def end_turns(self) -> None:
        """Let leave what the messages that were delivered have sent."""
        try:
            self.outbox.end_turn()
        except BaseException as error:
            self._internal_error(error)
            raise

    def _end_turn(self) -> None:
        if self._wrote and self.doom is None:
            self._commit()
        if self.doom is None:
            self.outbox.end_turn()
        elif not self.ended:
            self._carry_out(self.doom)

    def _commit(self) -> None:
        """End the turn's transaction. Effects made before its first write do not wait for it."""
        storage = self.storage
        if not storage.dirty:
            storage.cursors.end(TURN_OVER)
            self._wrote = storage.uncommitted  # inside a transaction that goes on, or it was rolled back
            return
        self._wrote = False
        confirmed = storage.confirmed
        if confirmed:
            self.outbox.stamp_before_write()
        try:
            number = storage.commit(self.output_gate.finished)
        except StorageError as error:
            self.output_gate.break_(error)
            return
        if number != self._committed:  # else nothing was changed
            self._committed = number
            self.meter.commits += 1
        self.output_gate.commit(number, confirmed=confirmed)

    def _commit_durable(self) -> None:
        self.outbox.release()
        self._nobody_left()

    def _first_write(self) -> None:
        self._wrote = True
        self.outbox.mark_write()
        if not self.gate.running:
            self._stray()

    def _first_cursor(self) -> None:
        """The turn's end ends it, as if something had been written."""
        self._wrote = True
        if not self.gate.running:
            self._stray()

    def _stray(self) -> None:
        """Something was written or sent outside of a turn."""
        if not self._stray_soon and not self.ended:
            self._stray_soon = True
            self.loop.call_soon(self._end_stray, context=self.home)

    def _end_stray(self) -> None:
        self._stray_soon = False
        if not self.ended:
            self._turn(_nothing, None)
            self._pump()

    @property
    def begun(self) -> int:
        """Grows whenever an event begins; by how much says nothing."""
        return self._chosen + self.meter.messages_in

    # -- whose turn it is ----------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Let those run whose turn it is, until nobody is left that may."""
        gate = self.gate
        if gate.running or self._look_is_due:
            return
        while not self.ended:
            if not gate.open:
                self._before_choosing()
            if self._turns_left <= 0:
                self.look_soon()
                return
            chosen = gate.choose()
            if chosen is None:
                gate.settle()
                self._nobody_left()
                return
            self._turns_left -= 1
            self._run(chosen)

    def _run(self, chosen: Event | CriticalSection[Any] | ObjectTask | Any) -> None:
        kind = type(chosen)
        if kind is ObjectTask:
            self._turn(_step, chosen)
        elif kind is CriticalSection:
            self._turn(_enter, chosen)
        else:
            self._chosen += 1
            self._turn(self._begin[kind], chosen)

    def resume(self, task: ObjectTask) -> None:
        """A task could go on: now, or when the gate lets it in."""
        gate = self.gate
        if gate.free:
            self._turn(_step, task)
            if gate.stirred:
                self._pump()
        elif not self.ended:
            gate.line_up(task)
            self._pump()
        elif not task.is_done:
            task.step()

    def look_soon(self) -> None:
        """Somebody was lined up outside of a turn: see who may run."""
        if not self.gate.running and not self._look_is_due:
            self._look_is_due = True
            self.loop.call_soon(self._look, context=self.home)

    def _look(self) -> None:
        self._look_is_due = False
        self._turns_left = TURNS_AT_ONCE
        self._pump()


def _nothing(_: object) -> None:
    pass


def _step(task: ObjectTask) -> None:
    task.step()


def _enter(section: CriticalSection[Any]) -> None:
    section.run()
