"""The objects of a host: which are awake, where events for them go, and what is remembered of those asleep."""

# At most one activation of an id:
#
#  (1) An activation is in its place from its construction until it says that it ended; the next event makes another.
#  (2) An object without activation, sockets and requests has no place, and costs nothing but its meter. Those are
#      bounded.
#  (3) After `closed` nothing is woken: what the peers of a host that leaves do is for its successor.
#  (4) What the sockets told an object that was reset before it heard it goes to its next life; see `leftovers`.
#  (5) Of requests an object holds a bounded number, and a bounded size; those beyond fail with OverloadedError and
#      disturb nothing. Messages are bounded by the credit of the gateways.

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from roost.clock import Clock
from roost.env import Env
from roost.errors import (
    InvalidArgumentError,
    ObjectResetError,
    OverloadedError,
    RoostError,
    UnavailableError,
    UnknownBindingError,
)
from roost.events import Close, Event, Fetch, Finished, Ring, SocketClosed, SocketMessage
from roost.held_socket import HeldSocket
from roost.host.emitter import Emitter, Peer
from roost.host.hibernation import Idle
from roost.host.leftovers import Leftovers
from roost.host.place import Place
from roost.host.surroundings import HostSurroundings
from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.link.frames import ObjectRef
from roost.meter import Meter
from roost.objects.activation import Activation
from roost.objects.durable_object import DurableObject
from roost.observer import Observer
from roost.request import Request
from roost.response import Response
from roost.storage.object_storage import ObjectStorage

UNDELIVERED = (1011, "this message could not be given to its object")

METERS_MAX = 10_000
"""Objects whose own meter is remembered after they are gone; of older ones only the sum of their class stays."""


class Activations:
    """All objects of a host, by key."""

    def __init__(
        self,
        *,
        classes: Mapping[str, type[DurableObject]],
        spaces: Mapping[str, IdSpace],
        clock: Clock,
        limits: Limits,
        observer: Observer,
        overflow: Callable[[Place, HeldSocket], None],
        open_storage: Callable[[ObjectId], ObjectStorage],
    ) -> None:
        self.places: dict[bytes, Place] = {}
        self.peers: dict[int, Peer] = {}
        """Those that hold sockets, by incarnation."""
        self.env = Env()
        """Given by the host once the namespaces, which need these activations, are made."""
        self.meters: OrderedDict[bytes, tuple[ObjectId, Meter]] = OrderedDict()
        """By key, the longest untouched first."""
        self.forgotten: dict[str, Meter] = {}
        """By binding, the sums of the meters that are no longer kept one by one."""
        self.closed = False
        """Nothing is woken any more."""
        self._unanswered = 0
        self._all_answered: asyncio.Future[None] | None = None
        self.classes = classes
        self.spaces = spaces
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._overflow = overflow
        self._open_storage = open_storage
        self.leftovers = Leftovers(clock=clock, limits=limits, observer=observer, wake=self.wake)

    # -- places ------------------------------------------------------------------------------------------------------

    def find(self, ref: ObjectRef) -> Place:
        """The place of an object that is named over a link.

        Raises UnknownBindingError when this app has no such class, InvalidArgumentError when it is none of its ids.
        """
        known = self.places.get(ref.key)
        if known is not None and known.object_id.binding == ref.binding:
            if known.object_id.name is None:
                known.object_id.name = ref.name
            return known
        space = self.spaces.get(ref.binding)
        if space is None:
            has = ", ".join(self.spaces) or "none"
            raise UnknownBindingError(f"this app has no class with the binding {ref.binding!r}; it has: {has}")
        if len(ref.key) != 32 or not space.owns(ref.key):
            raise InvalidArgumentError(f"the id {ref.key.hex()[:12]}… is not valid for this namespace, {ref.binding}")
        return self.place(ObjectId(ref.key, ref.binding, ref.name))

    def at(self, key: bytes) -> Place | None:
        """The place of an object, if it has one."""
        return self.places.get(key)

    def place(self, object_id: ObjectId) -> Place:
        """The place of an object, made when it has none. Nothing is woken."""
        place = self.places.get(object_id.key)
        if place is None:
            place = self.places[object_id.key] = Place(object_id, self.classes[object_id.binding])
            self._furnish(place)
        return place

    def _furnish(self, place: Place) -> None:
        place.outlet = Emitter(
            place,
            self.peers,
            waiting_bytes_max=self._limits.socket_send_bytes_max,
            overflow=self._overflow,
        )
        place.surroundings = HostSurroundings(
            place,
            clock=self._clock,
            limits=self._limits,
            observer=self._observer,
            outlet=place.outlet,
            meter=self._meter(place.object_id),
            open_storage=lambda place: self._open_storage(place.object_id),
            ended=self._ended,
        )

    def release(self, place: Place) -> None:
        """Let the place go if it holds nothing any more."""
        if place.empty and not self.leftovers.holds(place) and self.places.get(place.key) is place:
            del self.places[place.key]

    # -- events ------------------------------------------------------------------------------------------------------

    def deliver(self, place: Place, event: Event) -> None:
        """Give the object an event, waking it if need be. Once `closed`, requests fail and the rest is dropped."""
        if self.closed:
            if isinstance(event, Fetch):
                event.fail(UnavailableError(f"{place.object_id!r} was called on a host that has stopped"))
            elif isinstance(event, Ring):
                event.end(False)
            return
        activation = place.activation
        try:
            if activation is None:
                if self.leftovers.joined_by(place, event):
                    return
                activation = self.wake(place)
            activation.deliver(event)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, nobody may wait for this event for ever
            self.undelivered(place, activation, event, error)

    def undelivered(self, place: Place, activation: Activation | None, event: Event, error: Exception) -> None:
        """Roost failed to give an event to its object: whoever waits is told, and the next event finds a new life."""
        if activation is None or not activation.ended:  # else its own end has reported it
            self._observer.report("object.undelivered", "an event could not be delivered", error, id=place.object_id)
        if activation is not None and place.activation is activation:
            self._put_away(place, activation, error)
        if isinstance(event, Fetch):
            event.fail(_for_caller(error))
        elif isinstance(event, Ring):
            event.end(False)
        elif isinstance(event, SocketMessage):
            place.outlet.emit([Close(event.socket, *UNDELIVERED), Finished([event.socket])])
        elif isinstance(event, SocketClosed):
            place.roll.discard(event.socket)
        self.release(place)

    def _put_away(self, place: Place, activation: Activation, error: Exception) -> None:
        try:
            activation.stop(_for_caller(error))
        except Exception as further:  # noqa: BLE001 - it is broken, and must not stay in its place all the same
            self._observer.report("object.undelivered", "a broken object did not end", further, id=place.object_id)
        if place.activation is activation:
            place.activation = None

    def wake(self, place: Place) -> Activation:
        """Begin a life of the object. It is constructed when it is given its first event, which hears if that fails."""
        assert place.activation is None, "one activation of an id"
        if place.roll.sockets:
            place.surroundings.meter.wakes += 1
        unheard = self.leftovers.take(place)
        activation = Activation(place.object_id, place.cls, self.env, place.surroundings, unheard)
        place.activation = activation
        return activation

    def fetch(
        self,
        place: Place,
        request: Request,
        reply: Callable[[Response], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Give the object a request. Exactly one of `reply` and `fail` is called, once."""
        size = len(request.body.buffered or b"")
        if (refusal := self._refusal(place, size)) is not None:
            self.release(place)
            fail(refusal)
            return
        self._unanswered += 1
        place.requests += 1
        place.requests_size += size

        waited_for = True

        def replied(response: Response) -> None:
            nonlocal waited_for
            if waited_for:
                waited_for = False
                try:
                    reply(response)
                finally:
                    self._answered(place, size)

        def failed(error: BaseException) -> None:
            nonlocal waited_for
            if waited_for:
                waited_for = False
                try:
                    fail(error)
                finally:
                    self._answered(place, size)

        self.deliver(place, Fetch(request, replied, failed, size))

    def ring(self, object_id: ObjectId, over: Callable[[bool], None], *, again: str | None = None) -> bool:
        """Have the object run its alarms that are due; whether that woke it. `over` is called once, and `again` is an
        alarm that was given up; see `Ring`."""
        if self.closed:
            over(False)
            return False
        place = self.place(object_id)
        if place.object_id.name is None:
            place.object_id.name = object_id.name
        asleep = place.activation is None
        self.deliver(place, Ring(over, again=again))
        self.release(place)
        return asleep

    def _answered(self, place: Place, size: int) -> None:
        self._unanswered -= 1
        place.requests -= 1
        place.requests_size -= size
        self.release(place)
        if not self._unanswered and self._all_answered is not None:
            self._all_answered.set_result(None)
            self._all_answered = None

    def all_answered(self) -> asyncio.Future[None] | None:
        """Done when no request is left without its answer; None when that is so now."""
        if not self._unanswered:
            return None
        if self._all_answered is None:
            self._all_answered = asyncio.get_running_loop().create_future()
        return self._all_answered

    def _refusal(self, place: Place, size: int) -> OverloadedError | None:
        limits = self._limits
        if place.requests >= limits.inbox_events_max:
            what = f"{place.requests} requests"
        elif place.requests_size + size > limits.inbox_bytes_max and place.requests:
            what = f"{place.requests_size} bytes of requests"
        else:
            return None
        place.surroundings.meter.drops += 1
        return OverloadedError(f"{place.object_id!r} has {what} unanswered, which is as much as it may hold")

    # -- sleep -------------------------------------------------------------------------------------------------------

    def awake(self) -> Iterable[tuple[Place, Activation]]:
        """Those that are in memory now."""
        return [(place, place.activation) for place in self.places.values() if place.activation is not None]

    def idle(self) -> list[Idle]:
        """Those that might sleep now."""
        found: list[Idle] = []
        for place, activation in self.awake():
            since = activation.idle_since
            if since is not None:
                found.append(Idle(place.key, since))
        return found

    def hibernate(self, key: bytes) -> None:
        """Drop the object's memory, unless something came up since it was chosen."""
        place = self.places.get(key)
        if place is not None and place.activation is not None and not place.activation.pinned_by():
            place.activation.hibernate()

    def _ended(self, place: Place, activation: Activation, cause: BaseException | None) -> None:
        assert place.activation is activation, "an activation ends once, and before the next one begins"
        place.activation = None
        self._drop_unreachable(place)
        self.leftovers.keep(place, activation, cause)
        if cause is None:
            asyncio.get_running_loop().call_soon(activation.take_apart)  # it is on the stack now
        self.release(place)
        self._observer.notify("object.hibernated" if cause is None else "object.reset", id=place.object_id, cause=cause)

    def _drop_unreachable(self, place: Place) -> None:
        """Sockets that were accepted and not given to a client went with the memory that held their other end. Should
        the response be on its way, they come back with its grant."""
        for socket in list(place.roll.sockets):
            if not socket.number and socket not in place.opening:
                place.roll.discard(socket)

    # -- meters ------------------------------------------------------------------------------------------------------

    def _meter(self, object_id: ObjectId) -> Meter:
        known = self.meters.pop(object_id.key, None)
        meter = known[1] if known is not None else Meter()
        self.meters[object_id.key] = (object_id, meter)
        if len(self.meters) > METERS_MAX and len(self.meters) % (METERS_MAX // 10) == 0:
            self._forget_meters()
        return meter

    def _forget_meters(self) -> None:
        """Add the oldest tenth, of objects that have no place now, to the sum of their class."""
        gone = [key for key in self.meters if key not in self.places][: METERS_MAX // 10]
        for key in gone:
            object_id, meter = self.meters.pop(key)
            self.forgotten.setdefault(object_id.binding, Meter()).merge(meter)

    def meter_of_class(self, binding: str) -> Meter:
        """The sum over all objects of a class that this host has run."""
        total = Meter()
        for object_id, meter in self.meters.values():
            if object_id.binding == binding:
                total.merge(meter)
        if binding in self.forgotten:
            total.merge(self.forgotten[binding])
        return total


def _for_caller(error: Exception) -> Exception:
    """The error as a caller is given it: roost's own as they are, anything else as a failure of the object."""
    if isinstance(error, RoostError):
        return error
    internal = ObjectResetError(f"internal error: {error!r}")
    internal.__cause__ = error
    return internal
