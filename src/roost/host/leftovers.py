"""What was told to an object, and the life that was to hear it has ended before it did."""

# A reset costs nobody a message that no handler had begun, and hibernation nothing that came during `pre_shutdown`:
#
#  (1) What was left over goes to the next life, in its order, before anything newer.
#  (2) When events could begin in the life that ended, the next one begins in the loop's next turn. It makes progress:
#      what was left over is first in its line.
#  (3) When it ended before any event could begin, as with a constructor that raises, the next attempt comes after a
#      pause, which doubles each time, or with the next request, which cannot wait. What sockets tell meanwhile joins
#      the line. An alarm does not: it is rung again later.
#  (4) What was first in line at `construction_tries_max` failed attempts is given up, and so is what its socket sent
#      after it; the socket closes with 1011, so that its client knows, and that is reported. The others wait on.
#  (5) When the host stops, the sockets of messages that are left over close with 1012.

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from roost.clock import Clock, Timer
from roost.errors import HostLostError, ObjectError
from roost.events import Close, Event, Fetch, Finished, Ring, SocketEvent, SocketMessage
from roost.held_socket import CLOSING, OPEN, HeldSocket
from roost.host.place import Place
from roost.limits import Limits
from roost.objects.activation import Activation
from roost.objects.delivery import note_arrival
from roost.observer import Observer

GIVEN_UP = (1011, "the object could not be constructed to hear this message")
RESTARTED = (1012, "the host stopped before the object heard this message")


class _Line(msgspec.Struct, eq=False):
    """What is left over of one object."""

    events: list[Event] = []
    attempts: int = 0
    """How many have failed with the present first in line."""
    pausing: bool = False
    """The last attempt failed, and the next one is to come after a pause."""
    timer: Timer | asyncio.Handle | None = None

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Leftovers:
    """The lines of all objects of a host. `wake` begins an object's next life, which takes its line along."""

    def __init__(
        self, *, clock: Clock, limits: Limits, observer: Observer, wake: Callable[[Place], Activation]
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._wake = wake
        self._lines: dict[Place, _Line] = {}
        self._all_heard: asyncio.Future[None] | None = None

    def keep(self, place: Place, activation: Activation, cause: BaseException | None) -> None:
        """A life has ended, and this is what it leaves over."""
        line = self._lines.setdefault(place, _Line())
        line.events = activation.leftovers
        line.pausing = not activation.opened
        line.attempts = line.attempts + 1 if line.pausing else 0
        if line.events and line.attempts >= self._limits.construction_tries_max:
            self._give_up_first(place, line, cause)
        if line.events:
            self._arrange(place, line)
        else:
            del self._lines[place]
            self._look()

    def _arrange(self, place: Place, line: _Line) -> None:
        """See to it that there will be a next life."""
        if line.pausing:
            pause = self._limits.construction_retry_seconds * 2 ** max(line.attempts - 1, 0)
            line.timer = self._clock.call_later(pause, lambda: self._begin(place))
        else:
            line.timer = asyncio.get_running_loop().call_soon(self._begin, place)

    def _begin(self, place: Place) -> None:
        self._wake(place).start()

    def holds(self, place: Place) -> bool:
        """Whether the object has a line."""
        return place in self._lines

    def joined_by(self, place: Place, event: Event) -> bool:
        """Whether the event waits with those that are left over. If not, the next life begins with it, behind them."""
        line = self._lines.get(place)
        if line is None or not line.pausing or isinstance(event, Fetch):
            return False
        if isinstance(event, Ring):
            event.end(False)
            return True
        note_arrival(event)
        line.events.append(event)
        return True

    def take(self, place: Place) -> list[Event]:
        """The next life begins: what is left over for it."""
        line = self._lines.get(place)
        if line is None:
            return []
        line.stop()
        events, line.events = line.events, []
        self._look()
        return events

    def _give_up_first(self, place: Place, line: _Line, cause: BaseException | None) -> None:
        first = line.events[0]
        assert not isinstance(first, Fetch | Ring), "a request or alarm fails with the life that did not begin"
        socket = first.socket
        given_up = [event for event in line.events if _is_of(event, socket)]
        line.events = [event for event in line.events if not _is_of(event, socket)]
        line.attempts = 0
        messages = sum(isinstance(event, SocketMessage) for event in given_up)
        if messages < len(given_up):
            place.roll.discard(socket)  # its end was among them
        _close(place, socket, GIVEN_UP)
        if messages:
            place.outlet.emit([Finished([socket] * messages)])
        place.surroundings.meter.drops += messages
        tries = self._limits.construction_tries_max
        error = ObjectError(
            f"{messages} messages of a WebSocket were given up: the object failed {tries} times to start"
        )
        error.__cause__ = cause
        self._observer.report("object.messages_lost", "an object cannot be constructed", error, id=place.object_id)

    # -- the end of the host -----------------------------------------------------------------------------------------

    def all_heard(self) -> asyncio.Future[None] | None:
        """Done when nothing is left over; None when that is so now."""
        if not self._waiting:
            return None
        if self._all_heard is None:
            self._all_heard = asyncio.get_running_loop().create_future()
        return self._all_heard

    @property
    def _waiting(self) -> bool:
        return any(line.events for line in self._lines.values())

    def _look(self) -> None:
        if self._all_heard is not None and not self._waiting:
            self._all_heard.set_result(None)
            self._all_heard = None

    def close(self) -> None:
        """Nothing is woken any more; see (5)."""
        lines, self._lines = self._lines, {}
        for place, line in lines.items():
            line.stop()
            for event in line.events:
                if isinstance(event, Fetch):
                    event.fail(HostLostError(f"{place.object_id!r}: its host stopped before it could be called"))
                elif isinstance(event, Ring):
                    event.end(False)
                elif isinstance(event, SocketMessage):
                    _close(place, event.socket, RESTARTED)
        self._look()


def _is_of(event: Event, socket: HeldSocket) -> bool:
    return isinstance(event, SocketEvent) and event.socket is socket


def _close(place: Place, socket: HeldSocket, code_and_reason: tuple[int, str]) -> None:
    if socket.ready_state == OPEN:
        socket.ready_state = CLOSING
        place.outlet.emit([Close(socket, *code_and_reason)])
