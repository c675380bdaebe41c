"""What one object is given of its host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from roost.clock import Clock
from roost.events import Outlet
from roost.held_socket import SocketRoll
from roost.host.place import Place
from roost.limits import Limits
from roost.meter import Meter
from roost.observer import Observer

if TYPE_CHECKING:
    from roost.objects.activation import Activation
    from roost.storage.object_storage import ObjectStorage


class HostSurroundings:
    """The surroundings of the activations of one place; see `roost.objects.surroundings`."""

    __slots__ = ("_ended", "_open", "_place", "clock", "limits", "meter", "observer", "outlet", "roll")

    def __init__(
        self,
        place: Place,
        *,
        clock: Clock,
        limits: Limits,
        observer: Observer,
        outlet: Outlet,
        meter: Meter,
        open_storage: Callable[[Place], ObjectStorage],
        ended: Callable[[Place, Activation, BaseException | None], None],
    ) -> None:
        self._place = place
        self.clock = clock
        self.limits = limits
        self.observer = observer
        self.outlet = outlet
        self.roll: SocketRoll = place.roll
        self.meter = meter
        self._open = open_storage
        self._ended = ended

    def open_storage(self) -> ObjectStorage:
        return self._open(self._place)

    def ended(self, activation: Activation, cause: BaseException | None) -> None:
        self._ended(self._place, activation, cause)
