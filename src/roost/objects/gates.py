"""The two gates of an object: what may come in, and what may leave."""

# The input gate decides which code of the object runs next.
#
#  (1) One step at a time: between two awaits nothing else runs in the object.
#  (2) While a critical section runs, only what was started inside it runs. Sections nest, the innermost has the gate.
#  (3) Code that waited for the object's storage, or for a section, goes before everything else when that is over, and
#      until it has run nothing else does.
#  (4) A section that is ready goes before what else waits; then it is first come, first served, for events and
#      continuations alike.
#  (5) Without interleaving an event begins only when no other is under way.
#
# The output gate decides when an effect may leave.
#
#  (6) An effect waits for every confirmed write made before it, and for none made after.
#  (7) A write that fails, confirmed or not, breaks the gate for good: nothing held is ever sent.
#  (8) A confirmed write that is not durable within `output_gate_seconds_max` counts as failed.
#
# Neither runs anything: the gates are told what happened and say what may happen; `activation.py` does it.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from roost.clock import Clock, Timer
from roost.errors import StorageError
from roost.events import Event
from roost.objects.inbox import Inbox


class Waiter(Protocol):
    """Code that was suspended and may go on: see `roost.objects.turn.ObjectTask`."""

    section: Section
    privileged: int
    """In how many waits it is that keep the gate closed for all others."""


class Section:
    """One critical section, or, without a parent, the whole object. What runs inside has it in a context variable."""

    __slots__ = (
        "awaiting",
        "depth",
        "ended",
        "name",
        "outcome",
        "owner",
        "parent",
        "queue",
        "returned",
        "timer",
        "urgent",
        "waiting",
        "waits",
    )

    def __init__(self, owner: Any, parent: Section | None = None, name: str = "") -> None:
        self.owner = owner
        """The activation."""
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.name = name
        self.outcome: Any = None
        """Of its function, once that is through."""
        self.timer: Timer | None = None
        self.returned = False
        """Its own function is through; it ends when nested sections have ended too."""
        self.ended = False
        self.awaiting = 0
        """How many wait for its result."""
        self.waits = 0
        """Waits that keep this level closed: for storage, or handing back from a section that ended."""
        self.queue: deque[Section] = deque()
        """Nested sections that are to start."""
        self.urgent: deque[Waiter] = deque()
        self.waiting: deque[tuple[int, Waiter]] = deque()

    def living(self) -> Section:
        """This section, or, when it has ended, the nearest around it that has not."""
        section = self
        while section.ended:
            assert section.parent is not None, "the whole object never ends as a section"
            section = section.parent
        return section


class InputGate:
    """Who may run. `free` is true when whatever comes may run at once; otherwise it is lined up and `choose` tells."""

    __slots__ = ("_tickets", "events", "free", "inbox", "inner", "interleave", "open", "root", "running", "stirred")

    def __init__(self, owner: Any, inbox: Inbox, *, interleave: bool) -> None:
        self.root = Section(owner)
        self.inner = self.root
        """The innermost section that runs, or the root."""
        self.inbox = inbox
        self.interleave = interleave
        self.running = False
        """A step is under way, or its effects are leaving."""
        self.free = False
        self.stirred = False
        """Something was lined up or closed during a step, so that afterwards it must be looked who is next."""
        self.open = False
        """Events may begin at all: the object is constructed."""
        self.events = 0
        """Events that have begun and not ended."""
        self._tickets = 0

    # -- lining up -----------------------------------------------------------------------------------------------------

    def line_up_event(self, event: Event) -> None:
        """The event waits for its turn. Raises OverloadedError when it is refused."""
        self._tickets += 1
        self.inbox.put(self._tickets, event)
        self.stirred = True

    def line_up_first(self, events: Iterable[Event]) -> None:
        """Events that came before all that wait, and had been set aside."""
        self.inbox.put_first(events)
        self.stirred = True
        self.free = False

    def line_up(self, waiter: Waiter) -> None:
        """Code that could go on waits for its turn."""
        section = waiter.section.living()
        if waiter.privileged:
            section.urgent.append(waiter)
        else:
            self._tickets += 1
            section.waiting.append((self._tickets, waiter))
        self.stirred = True

    def line_up_section(self, section: Section) -> None:
        """A section waits until the one around it lets it start."""
        assert section.parent is not None
        section.parent.queue.append(section)
        self.stirred = True
        self.free = False

    def close(self) -> None:
        """Let no event begin."""
        self.open = self.free = False
        self.stirred = True

    # -- waits that close the gate -------------------------------------------------------------------------------------

    def close_for(self, waiter: Waiter) -> None:
        """Until `reopen_after`, nothing on the waiter's level runs but the waiter."""
        waiter.privileged += 1
        waiter.section.living().waits += 1
        self.free = False
        self.stirred = True

    def reopen_after(self, waiter: Waiter) -> None:
        waiter.privileged -= 1
        waiter.section.living().waits -= 1

    def await_section(self, section: Section, waiter: Waiter) -> None:
        """The waiter awaits the section's result, and goes on first when it has ended."""
        waiter.privileged += 1
        section.awaiting += 1

    def got_section(self, section: Section, waiter: Waiter) -> None:
        """The waiter goes on, with the result or because it was cancelled."""
        waiter.privileged -= 1
        section.awaiting -= 1
        if section.ended:
            section.living().waits -= 1

    # -- choosing ------------------------------------------------------------------------------------------------------

    def choose(self) -> Waiter | Section | Event | None:
        """Who runs next, taken off its line; None when nobody may. A section that is chosen has the gate then."""
        inner = self.inner
        if inner.urgent:
            return inner.urgent.popleft()
        if inner.waits:
            return None
        if inner.queue:
            self.inner = inner.queue.popleft()
            return self.inner
        ticket = self.inbox.first_ticket() if self.admits_events() else None
        if inner.waiting and (ticket is None or inner.waiting[0][0] < ticket):
            return inner.waiting.popleft()[1]
        return self.inbox.take() if ticket is not None else None

    def admits_events(self) -> bool:
        """Whether an event may begin, seen from the sections and from interleaving."""
        return self.open and self.inner is self.root and (self.interleave or not self.events)

    def settle(self) -> None:
        """Nobody was left to choose: work out whether what comes next may run at once."""
        root = self.root
        self.stirred = False
        self.free = not root.waits and self.admits_events() and not self.inbox

    def end_sections(self) -> list[Section]:
        """End every section whose function and nested sections are through, innermost first; they are returned."""
        ended: list[Section] = []
        while self.inner.returned and not self.inner.queue:
            section = self.inner
            ended.append(section)
            parent = section.parent
            assert parent is not None, "only sections return"
            section.ended = True
            # What was started inside and goes on belongs to the section around it from now on.
            parent.waits += section.waits + section.awaiting
            parent.urgent.extend(section.urgent)
            parent.waiting.extend(section.waiting)
            self.inner = parent
        return ended


class OutputGate:
    """Which commits are durable. `broken` is called once, with the reason, when the gate breaks."""

    __slots__ = (
        "_broken",
        "_clock",
        "_closed_since",
        "_moved",
        "_pending",
        "_seconds_max",
        "_timer",
        "_was_closed",
        "durable",
        "is_broken",
        "needed",
    )

    def __init__(
        self, clock: Clock, seconds_max: float, moved: Callable[[], None], broken: Callable[[StorageError], None]
    ) -> None:
        self.needed = 0
        """The newest confirmed commit: what leaves now must wait for it."""
        self.durable = 0
        """All commits up to this one are durable."""
        self.is_broken = False
        self._pending: deque[tuple[int, float, bool]] = deque()
        self._closed_since: float | None = None
        self._was_closed = 0.0
        self._clock = clock
        self._seconds_max = seconds_max
        self._timer: Timer | None = None
        self._moved = moved
        self._broken = broken

    @property
    def pending(self) -> int:
        """Commits whose fate is not known, unconfirmed ones included."""
        return len(self._pending)

    def commit(self, number: int, *, confirmed: bool) -> None:
        """A commit was handed over; `finished` will tell of its fate."""
        now = self._clock.monotonic()
        self._pending.append((number, now, confirmed))
        if confirmed:
            self.needed = number
            if self._closed_since is None:
                self._closed_since = now
            if self._timer is None:
                self._timer = self._clock.call_later(self._seconds_max, self._look)

    def finished(self, error: StorageError | None) -> None:
        """The fate of the oldest commit that is pending: they become known in the order of the commits."""
        if self.is_broken:
            return
        if error is not None:
            self.break_(error)
            return
        self.durable = self._pending.popleft()[0]
        if self.durable >= self.needed:
            self._opened()
        self._moved()

    def break_(self, error: StorageError) -> None:
        """Nothing that is held may leave any more."""
        if not self.is_broken:
            self.is_broken = True
            self._pending.clear()
            self._opened()
            self.needed = self.durable  # what is sent about the breaking itself waits for nothing
            self.close()
            self._broken(error)

    def _opened(self) -> None:
        if self._closed_since is not None:
            self._was_closed += self._clock.monotonic() - self._closed_since
            self._closed_since = None

    def take_closed_seconds(self) -> float:
        """For how long confirmed writes were pending, since this was asked the last time."""
        if self._closed_since is not None:
            self._opened()
            self._closed_since = self._clock.monotonic()
        seconds, self._was_closed = self._was_closed, 0.0
        return seconds

    def close(self) -> None:
        """Stop watching the time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """See whether the oldest confirmed commit takes too long; one timer serves all of them."""
        self._timer = None
        oldest = next((since for _, since, confirmed in self._pending if confirmed), None)
        if oldest is None:
            return
        left = oldest + self._seconds_max - self._clock.monotonic()
        if left > 0:
            self._timer = self._clock.call_later(left, self._look)
        else:
            self.break_(StorageError(f"a commit was not durable after {self._seconds_max:g} seconds"))
