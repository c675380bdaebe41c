"""What stays of a life that has ended, for code that still knows it."""

# The parts of a life know it, and it knows them. Left like that, each life that ends would wait for the garbage
# collector, which comes by seldom: rooms that wake and sleep again had several lives each in memory at a time.
#
#  (1) A life that hibernates is taken apart in the loop's next turn: nothing of it is at work any more.
#  (2) It keeps what it must say about itself, and its storage, which is closed. User code that has kept `ctx`,
#      a WebSocket or the object gets InvalidStateError for everything that would need more.
#  (3) A life that ends otherwise stays whole: its code may run to its own end.

from __future__ import annotations

from typing import TYPE_CHECKING

from roost.errors import InvalidStateError

if TYPE_CHECKING:
    from roost.objects.activation import Activation

KEPT = frozenset(
    {"_cls", "constructed", "doom", "ended", "leftovers", "loop", "meter", "object_id", "opened", "state", "storage"}
    | {"_look_is_due", "_stray_soon", "surroundings"}
)


def take_apart(activation: Activation) -> None:
    """Have reference counts free what nobody else knows."""
    assert activation.ended, "a life is taken apart once it has ended"
    storage = activation.storage
    storage.on_dirty = storage.on_failure = storage.on_open = storage.cursors.on_first = None
    activation.output_gate.close()  # its timer knows it, and would for as long as a commit may take
    activation.sockets.let_go()
    vars(activation.delivery).clear()
    vars(activation.shutdown).clear()
    parts = vars(activation)
    for name in parts.keys() - KEPT:
        del parts[name]


def missing(activation: Activation, name: str) -> Exception:
    """What to raise when the activation is asked for something that it does not have."""
    if vars(activation).get("ended") and not name.startswith("__"):
        return InvalidStateError("this life of the object has ended")
    return AttributeError(f"{type(activation).__name__!r} object has no attribute {name!r}")
