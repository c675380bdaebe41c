# Rings the objects of a host when their alarms are due.
#
#  (1) Never early: an object is rung when the wall clock has reached its time, not when a timer thinks so. Timers run
#      on monotonic time, and for `TICK_SECONDS` at most: so a wall clock that was set forward is noticed within that
#      time, and one that was set back makes nobody ring.
#  (2) At least once: an object is rung again, after a pause that grows, until it says that it is over with. An object
#      that is being rung is not rung a second time.
#  (3) At most `alarms_ringing_max` objects are being rung at once, oldest first, and a few in each turn of the loop.
#      One that takes longer than `LINGERS_SECONDS` does not count any more: those that never end block nobody.
#  (4) Nothing is rung before the roll call is over, nor after `stop`: what is due then is for the successor.
#  (5) The alarms of classes that the app does not have stay in the agenda. They are reported once, at the start.
#  (6) While others wait for their turn, an object that was woken for its alarm goes to sleep as soon as it is over with
#      it: a hundred thousand alarms at once need the memory of a few hundred objects.
#  (7) While the storage is crowded, one object is rung every `CROWDED_SECONDS`, and no more: alarms come late then, but
#      neither memory nor descriptors run out, and nobody waits for ever.
"""The alarm clock of a host."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from roost.clock import Clock, Timer
from roost.host.alarm_loops import AlarmLoops, Loop
from roost.ids import ObjectId
from roost.limits import Limits
from roost.observer import Observer
from roost.storage.alarms.agenda_window import Entry

logger = logging.getLogger("roost.alarms")

TICK_SECONDS = 1.0
LINGERS_SECONDS = 10.0
RINGS_PER_TURN = 8
RETRY_SECONDS_MAX = 1_024.0
STALE_SECONDS = 0.01
CROWDED_SECONDS = 0.01
JITTER = 0.25


class Source(Protocol):
    """The agenda, as the clock needs it; see `roost.storage.alarms.agenda`."""

    def start(self, bindings: Iterable[str], on_change: Callable[[], None]) -> None: ...
    def stop(self) -> None: ...
    def count(self, told: Callable[[dict[str, int]], None]) -> None: ...
    def first(self) -> int | None: ...
    def take(self, now_ms: int) -> Entry | None: ...
    def held(self, key: bytes) -> Entry: ...
    def release(self, key: bytes) -> None: ...
    def defer(self, key: bytes, at: int, tries: int) -> None: ...
    def forgive(self, key: bytes, alarm: str) -> None: ...


class Objects(Protocol):
    """The host's objects, as the clock needs them; see `roost.host.activations`."""

    def ring(self, object_id: ObjectId, over: Callable[[bool], None], *, again: str | None = None) -> bool:
        """Have the object run what is due; whether it was woken by that. `over` is called once."""

    def hibernate(self, key: bytes) -> None:
        """Drop the object's memory, unless something needs it."""


class _Ringing(msgspec.Struct, eq=False):
    """An object that was rung and is not over with it."""

    entry: Entry
    since: float
    woken: bool = False


class AlarmsView(msgspec.Struct, kw_only=True):
    """What a host can tell of its alarms now."""

    next: int | None
    """When the next one is to be rung, in milliseconds since the epoch; None when there is none."""
    ringing: int
    loops: list[Loop]


class AlarmClock:
    """Belongs to the host's loop. `owns` tells which keys are this host's, `crowded` whether its storage is."""

    def __init__(
        self,
        agenda: Source,
        objects: Objects,
        *,
        bindings: Iterable[str],
        clock: Clock,
        limits: Limits,
        observer: Observer,
        owns: Callable[[bytes], bool] = lambda key: True,
        crowded: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._agenda = agenda
        self._objects = objects
        self._bindings = frozenset(bindings)
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._owns = owns
        self._crowded = crowded
        self._slow_until = 0.0
        self._jitter = jitter
        self._ringing: dict[bytes, _Ringing] = {}  # in the order in which they began
        self._lingering: dict[bytes, _Ringing] = {}
        self._loops = AlarmLoops(rings_max=limits.alarm_loop_rings, minutes_max=limits.alarm_loop_minutes)
        self._timer: Timer | None = None
        self._soon: asyncio.Handle | None = None
        self._running = self._stopped = False
        self._strangers = False

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to ring, unless it was stopped before."""
        if self._stopped:
            return
        self._running = True
        self._agenda.start(self._bindings, self._look_soon)
        self._agenda.count(self._report_classes)
        self._look_soon()

    def stop(self) -> None:
        """Ring nothing more, for good. What is being rung goes on; what it leaves over is for the successor."""
        self._running, self._stopped = False, True
        self._agenda.stop()
        for waiting in (self._timer, self._soon):
            if waiting is not None:
                waiting.cancel()
        self._timer = self._soon = None

    def _report_classes(self, counts: dict[str, int]) -> None:
        for binding in sorted(counts.keys() - self._bindings):
            logger.warning(
                "%d objects of %s have alarms, and this app has no such class: they are kept until it has one again",
                counts[binding],
                binding,
            )
            self._observer.notify("alarms.class_gone", binding=binding, objects=counts[binding])

    # -- looking -------------------------------------------------------------------------------------------------------

    def view(self) -> AlarmsView:
        """What there is now."""
        loops = self._loops.loops(self._clock.monotonic())
        return AlarmsView(next=self._agenda.first(), ringing=len(self._ringing) + len(self._lingering), loops=loops)

    def _look_soon(self) -> None:
        """Look in the loop's next turn: whoever calls may be in the middle of an object's."""
        if self._running and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Ring who is due, and come back for the next."""
        self._soon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._running:
            return
        self._let_linger()
        for _ in range(RINGS_PER_TURN):
            entry = self._take()
            if entry is None:
                break
            self._ring(entry)
        self._look_again(self._seconds_to_wait())

    def _take(self) -> Entry | None:
        if len(self._ringing) >= self._limits.alarms_ringing_max or self._slowed():
            return None
        return self._agenda.take(self._clock.now_ms())

    def _slowed(self) -> bool:
        """Whether the storage is crowded, and somebody was rung just now."""
        if not self._crowded():
            return False
        now = self._clock.monotonic()
        if now < self._slow_until:
            return True
        self._slow_until = now + CROWDED_SECONDS
        return False

    def _let_linger(self) -> None:
        before = self._clock.monotonic() - LINGERS_SECONDS
        for key, ringing in list(self._ringing.items()):
            if ringing.since > before:
                break
            self._lingering[key] = self._ringing.pop(key)

    def _seconds_to_wait(self) -> float | None:
        """Until there may be something to do; None: until something changes, which is told."""
        if len(self._ringing) >= self._limits.alarms_ringing_max:
            oldest = next(iter(self._ringing.values()))
            return max(oldest.since + LINGERS_SECONDS - self._clock.monotonic(), 0.0)
        first = self._agenda.first()
        if first is None:
            return None
        slowed = self._slow_until - self._clock.monotonic() if self._crowded() else 0.0
        return max((first - self._clock.now_ms()) / 1000, slowed, 0.0)

    def _look_again(self, seconds: float | None) -> None:
        if seconds is None or not self._running:
            return
        if seconds == 0.0:
            self._look_soon()
        else:
            self._timer = self._clock.call_later(min(seconds, TICK_SECONDS), self._look)

    def retry(self, object_id: ObjectId, alarm: str) -> None:
        """Somebody wants an alarm that was given up to be set again: it rings now. An object that knows nothing of it
        does nothing."""

        def over(done: bool) -> None:
            if done:
                self._agenda.forgive(object_id.key, alarm)

        self._objects.ring(object_id, over, again=alarm)

    # -- ringing -------------------------------------------------------------------------------------------------------

    def _ring(self, entry: Entry) -> None:
        if not self._owns(entry.key):
            self._defer_stranger(entry)
            return
        ringing = self._ringing[entry.key] = _Ringing(entry, self._clock.monotonic())
        object_id = ObjectId(entry.key, entry.binding, entry.name)
        if (loop := self._loops.rang(object_id, ringing.since)) is not None:
            self._report_loop(loop)
        ringing.woken = self._objects.ring(object_id, functools.partial(self._over, ringing))

    def _over(self, ringing: _Ringing, done: bool) -> None:
        key = ringing.entry.key
        del (self._ringing if key in self._ringing else self._lingering)[key]
        now = self._agenda.held(key)
        if not self._running:
            self._agenda.release(key)
            return
        if not done:
            self._defer(ringing.entry, self._limits.alarm_retry_seconds)
        elif self._unchanged(ringing.entry, now):
            self._defer(ringing.entry, STALE_SECONDS)
        else:
            self._agenda.release(key)
        if ringing.woken:
            asyncio.get_running_loop().call_soon(self._let_sleep, key)
        self._look_soon()

    def _unchanged(self, rung: Entry, now: Entry) -> bool:
        """Whether the object says that it is over with an alarm that is due all the same. Rung again at once, it would
        say so for ever."""
        return now.due is not None and now.due == rung.due and now.due <= self._clock.now_ms()

    def _defer(self, entry: Entry, first_seconds: float) -> None:
        seconds = min(first_seconds * 2.0 ** min(entry.tries, 30), RETRY_SECONDS_MAX) * (1 + JITTER * self._jitter())
        self._agenda.defer(entry.key, self._clock.now_ms() + int(seconds * 1000), entry.tries + 1)
        self._observer.notify("alarm.not_heard", key=entry.key, binding=entry.binding, seconds=seconds)

    def _let_sleep(self, key: bytes) -> None:
        first = self._agenda.first()
        if self._running and first is not None and first <= self._clock.now_ms():
            self._objects.hibernate(key)

    def _defer_stranger(self, entry: Entry) -> None:
        """It would be a second activation, beside the one that its own host may have."""
        self._agenda.defer(entry.key, self._clock.now_ms() + int(RETRY_SECONDS_MAX * 1000), entry.tries)
        if not self._strangers:
            self._strangers = True
            logger.error(
                "the agenda has alarms of objects that belong to another host, such as %s %s: they are not rung here",
                entry.binding,
                entry.key.hex(),
            )

    def _report_loop(self, loop: Loop) -> None:
        logger.warning(
            "%r rings without end: %d times within a minute, and so for %d minutes. Its `alarm` sets the next one too"
            " early, or without an end",
            loop.object_id,
            loop.rings,
            loop.minutes,
        )
        self._observer.notify("alarm.loop", id=loop.object_id, rings=loop.rings, minutes=loop.minutes)
