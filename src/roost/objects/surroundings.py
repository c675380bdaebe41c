"""What an object needs of the host that it lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from roost.clock import Clock
from roost.events import Outlet
from roost.held_socket import SocketRoll
from roost.limits import Limits
from roost.meter import Meter
from roost.observer import Observer

if TYPE_CHECKING:
    from roost.objects.activation import Activation
    from roost.storage.object_storage import ObjectStorage


class Surroundings(Protocol):
    """Given to each activation of one object; an object never learns where it runs."""

    @property
    def clock(self) -> Clock: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def observer(self) -> Observer: ...
    @property
    def outlet(self) -> Outlet:
        """Takes the effects that have passed the output gate."""

    @property
    def roll(self) -> SocketRoll:
        """The object's hibernating sockets. The activation adds what it accepts, and discards what has closed."""

    @property
    def meter(self) -> Meter:
        """Of this object; it outlives the activation."""

    def open_storage(self) -> ObjectStorage:
        """The object's storage. Called once in an activation, which closes it."""

    def ended(self, activation: Activation, cause: BaseException | None) -> None:
        """The activation is gone: hibernated (None), or reset or stopped because of that. The next event needs a new
        one, which is given the `leftovers` of this one.
        """
