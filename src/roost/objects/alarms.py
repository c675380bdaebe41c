"""Running an object's alarms."""

# A Ring tells the object that something is due. The object finds out in its database what.
#
#  (1) One alarm runs at a time, the one that was due first. Other events begin where it awaits, like anywhere else.
#  (2) What became of a run is written in its last turn, so in one commit with its last writes. A run whose outcome is
#      not durable has not happened: it is run again.
#  (3) A run that raises, takes longer than `alarm_seconds_max`, or resets the object has failed. It is tried again
#      after a pause that doubles each time; after the last retry the alarm is given up, listed, and reported.
#  (4) A run that was ended by something else, a write that could not be stored or a host that leaves, has not failed:
#      it is run again, and does not count.
#  (5) An alarm that was set anew or deleted during its run is left as it is, whatever becomes of the run.
#  (6) A Ring is over when nothing is due any more and all outcomes are durable. Several that come at once are one.

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from roost.alarm_info import AlarmInfo
from roost.clock import Timer
from roost.errors import StorageError
from roost.events import Ring
from roost.limits import Limits
from roost.objects.doom import Doom
from roost.objects.lifecycle import Happening, State
from roost.objects.turn import ObjectTask
from roost.storage.alarms.alarms import Alarm

if TYPE_CHECKING:
    from roost.objects.activation import Activation

_ERROR_CHARACTERS_MAX = 1_000
_UNCOUNTED = frozenset({"storage", "internal error"})
"""Causes of a reset that are not the alarm's fault."""
_REPLACED = "it is not tried again, as it was set anew or deleted meanwhile"
_log = logging.getLogger("roost.object")


class Alarms:
    """The alarms of one activation, run. `jitter` gives numbers from 0 to 1."""

    jitter: Callable[[], float] = staticmethod(random.random)

    def __init__(self, activation: Activation) -> None:
        self.retry = True
        """Whether an alarm that is running when the object is reset is tried again."""
        self._activation = activation
        self._stored = activation.storage.alarms
        self._limits: Limits = activation.surroundings.limits
        self._rings: list[Ring] = []
        self._task: ObjectTask | None = None
        self._timer: Timer | None = None
        self._too_late = False

    # -- events --------------------------------------------------------------------------------------------------------

    def ring(self, ring: Ring) -> None:
        """Something may be due: run what is, or, while a run is under way, when that is over."""
        if ring not in self._rings:
            self._rings.append(ring)
        try:
            if ring.again is not None:
                self._stored.set_again(ring.again)
                ring.again = None
            if self._task is None:
                self._begin_next()
        except StorageError:
            assert self._activation.doom is not None, "a storage that fails ends the life"

    def _begin_next(self) -> None:
        handler = self._activation.delivery.handlers.alarm
        alarm = self._stored.begin_next()
        while alarm is not None and handler is None:
            self._drop(alarm)
            alarm = self._stored.begin_next()
        if alarm is None or handler is None:
            self._over()
        else:
            self._run(alarm, handler)

    def _drop(self, alarm: Alarm) -> None:
        activation = self._activation
        self._stored.end()
        class_name = activation.delivery.handlers.class_name
        _log.warning("%s of %r was dropped: %s has no method alarm", _named(alarm), activation.object_id, class_name)
        activation.surroundings.observer.notify("object.alarm_dropped", id=activation.object_id, key=alarm.key)

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _run(self, alarm: Alarm, handler: Callable[..., Any]) -> None:
        activation = self._activation
        activation.meter.event("alarm")
        activation.meter.alarm_runs += 1
        activation.meter.alarm_retries += alarm.retries > 0
        self._too_late = False
        task = self._task = activation.event_task(self._done, self._rings[0])
        task.set_name("alarm")
        task.begin(handler, _arguments(handler, alarm))
        if not task.is_done:
            seconds = self._limits.alarm_seconds_max
            self._timer = activation.surroundings.clock.call_later(seconds, functools.partial(self._cancel, task))

    def _cancel(self, task: ObjectTask) -> None:
        self._too_late = True
        self._timer = self._activation.surroundings.clock.call_later(self._limits.alarm_cancel_seconds_max, self._reset)
        task.cancel(str(self._lateness()))

    def _lateness(self) -> TimeoutError:
        return TimeoutError(f"the alarm was not through after {self._limits.alarm_seconds_max:g} seconds")

    def _reset(self) -> None:
        self._activation.alarm_too_long(self._lateness())

    def _done(self, task: ObjectTask) -> None:
        activation = self._activation
        activation.event_ended(task)
        if activation.ended or activation.doom is not None:
            return  # see `end`
        self._task = None
        self._stop_timer()
        error = task.error
        if self._too_late and isinstance(error, asyncio.CancelledError):
            error = self._lateness()
        try:
            if error is None:
                self._stored.end()
            else:
                self._failed(error)
            self._go_on()
        except StorageError:
            assert activation.doom is not None, "a storage that fails ends the life"

    def _go_on(self) -> None:
        """See what else is due; where the host leaves, that is for the next one."""
        if self._activation.state is State.DRAINING:
            self._over()
        else:
            self._activation.gate.line_up_event(self._rings[0])

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- outcomes ------------------------------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> None:
        alarm = self._stored.running
        assert alarm is not None, "it was running"
        self._activation.report(f"{_named(alarm)} failed: {self._try_again_or_give_up(alarm, error)}", error)

    def _try_again_or_give_up(self, alarm: Alarm, error: BaseException) -> str:
        """Write what follows from the failure, and say it."""
        if alarm.retries >= self._limits.alarm_retries_max:
            text = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS_MAX]
            if not self._stored.give_up(text):
                return _REPLACED
            self._given_up(alarm, error)
            return f"it is given up after {alarm.retries} retries"
        pause = retry_pause_ms(alarm.retries, self._limits, self.jitter())
        if not self._stored.try_again(self._activation.storage.now_ms() + pause):
            return _REPLACED
        return f"retry {alarm.retries + 1} of {self._limits.alarm_retries_max} follows in {pause / 1000:.1f} s"

    def _given_up(self, alarm: Alarm, error: BaseException) -> None:
        activation = self._activation
        activation.meter.alarms_failed += 1
        activation.surroundings.observer.notify(
            "object.alarm_failed", id=activation.object_id, key=alarm.key, error=error, scheduled=alarm.scheduled
        )

    # -- the end of a ring, and of the life ----------------------------------------------------------------------------

    def _over(self) -> None:
        rings, self._rings = self._rings, []
        self._activation.storage.when_durable(functools.partial(self._tell, rings))

    def _tell(self, rings: list[Ring], error: StorageError | None) -> None:
        if error is None:
            self._activation.storage.tell_alarm()
        for ring in rings:
            ring.end(error is None)

    def end(self, doom: Doom) -> None:
        """The life ends, and what it wrote in this turn is rolled back: settle the run that is under way, if any."""
        self._stop_timer()
        alarm = self._stored.running
        if alarm is not None and doom.happening is Happening.FAILURE and doom.cause not in _UNCOUNTED:
            self._settle(alarm, doom)
        self._stored.forget_run()
        rings, self._rings = self._rings, []
        for ring in rings:
            ring.end(False)

    def _settle(self, alarm: Alarm, doom: Doom) -> None:
        """A commit of its own, after all others of this life. Nothing waits for it but the rings."""
        storage = self._activation.storage
        storage.on_dirty = storage.on_failure = None
        rings, self._rings = self._rings, []
        try:
            if self.retry:
                assert doom.error is not None, "a failure has a reason"
                self._try_again_or_give_up(alarm, doom.error)
            else:
                self._stored.end()
            storage.commit(functools.partial(self._tell, rings))
        except StorageError as error:
            self._tell(rings, error)


def retry_pause_ms(retries: int, limits: Limits, jitter: float) -> int:
    """How long to wait before the next try of an alarm that was retried so many times: doubled each time, and up to a
    quarter longer, as `jitter` from 0 to 1 says, so that what failed together does not come back together.
    """
    doubled: float = limits.alarm_retry_seconds * 1000 * 2**retries
    return math.ceil(doubled * (1 + jitter / 4))


def _named(alarm: Alarm) -> str:
    return "the alarm" if alarm.key is None else f"the alarm {alarm.key!r}"


def _arguments(handler: Callable[..., Any], alarm: Alarm) -> tuple[Any, ...]:
    """What `alarm` is called with: it may do without the information."""
    if not _takes_information(getattr(handler, "__func__", handler), bound=hasattr(handler, "__func__")):
        return ()
    return (AlarmInfo(retry_count=alarm.retries, scheduled_time=alarm.scheduled, key=alarm.key),)


@functools.lru_cache(maxsize=256)  # of one class it is always the same, and looking costs more than ringing
def _takes_information(function: Callable[..., Any], *, bound: bool) -> bool:
    try:
        inspect.signature(function).bind(*(["self", "info"] if bound else ["info"]))
    except TypeError:
        return False
    return True
