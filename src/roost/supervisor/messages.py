"""What a supervisor and its children say to each other: one JSON object a line, over the child's standard input.

Standard input is a Unix socket pair, so that it carries both directions and standard output stays the user's.
"""

# The conversation:
#
#  (1) The supervisor begins with `Start`. The child prepares (a host imports the app) and says `Ready`, or `Failed` and
#      exits.
#  (2) On `Serve` it takes up its work (a host opens its store, a gateway accepts) and says `Serving`, or `Failed` and
#      exits.
#  (3) On `Drain` a host takes nothing new, finishes, says goodbye to its peers, closes its store and exits with status
#      0; a gateway stops accepting, and stays.
#  (4) On `Stop` a gateway closes its sockets and exits with status 0; a host does as on `Drain`; a backup ships what
#      was committed by then and exits with status 0.
#  (5) The end of the stream means that the other side is gone: a child then stops by itself, in order.
#  (6) `Ask` is answered by one `Answer` with the same number, at any time after `Serving`.
#  (7) `Ping` is answered by `Pong`, from `Serving` until `Drain` or `Stop`, on the loop that does the work: a child
#      that does not answer does not work either, and is killed.
#  (8) `Order` is answered by one `Answer` with the same number, whose report is a `Done`; null where the child does not
#      serve, or the object that it is about is another's.

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from roost.config import Settings
from roost.errors import RoostError

LINE_BYTES_MAX = 64 * 1024 * 1024  # a report of a host with a hundred thousand objects fits


class ControlError(RoostError):
    """The other side of a control channel said something that is no message; the channel cannot be used further."""


class Sockets(msgspec.Struct, frozen=True):
    """Where the hosts of one machine listen."""

    directory: str
    """Not the data directory's when that has a name too long for a Unix socket."""

    def host(self, number: int) -> str:
        return f"{self.directory}/host-{number}.sock"

    @property
    def control(self) -> str:
        """Where the supervisor answers `roost ps`."""
        return f"{self.directory}/control.sock"


class Frame(msgspec.Struct, frozen=True):
    """One line of a traceback."""

    file: str
    line: int
    name: str


class Raised(msgspec.Struct, frozen=True):
    """An exception of user code, as far as a person needs it: its frames are the user's alone."""

    kind: str
    message: str
    frames: list[Frame] = []
    syntax: tuple[str, int, int, str] | None = None
    """Of a SyntaxError: file, line, column, text of the line."""
    cause: Raised | None = None


class Start(msgspec.Struct, frozen=True, tag="start"):
    role: str
    """`gateway`, `host` or `backup`."""
    number: int
    settings: Settings
    sockets: Sockets
    listening: int | None = None
    """Of a gateway: the descriptor of its listening socket."""
    broken: Raised | None = None
    """Of a host in development: do not import the app, which raised this; tell every client so."""


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    pass


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    seconds: float
    replaced: bool = False
    """A successor is there, with the app as it is now."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    seconds: float


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    number: int


class Order(msgspec.Struct, frozen=True, tag="order"):
    """Something that the host of an object is to do: `restore`, with `binding`, `id` and `commit`, `end_life`, or
    `retry_alarm`, with `alarm`."""

    number: int
    what: str
    arguments: dict[str, Any]


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    pass


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    pass


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    pass


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    pass


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The child could not begin, and exits."""

    kind: str
    """`app`, `configuration`, `data`, `address`, or `internal`: who can do something about it."""
    message: str
    raised: Raised | None = None


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    number: int
    report: Any


class Done(msgspec.Struct, frozen=True):
    """What became of an order."""

    value: Any = None
    error: str = ""
    """Why it was not done."""


ToChild: TypeAlias = Start | Serve | Drain | Stop | Ask | Order | Ping
FromChild: TypeAlias = Ready | Serving | Failed | Answer | Pong

_ENCODER = msgspec.json.Encoder()
_TO_CHILD: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
_FROM_CHILD: msgspec.json.Decoder[FromChild] = msgspec.json.Decoder(FromChild)


def encode(message: ToChild | FromChild) -> bytes:
    """The message as a line."""
    return _ENCODER.encode(message) + b"\n"


def decode_to_child(line: bytes) -> ToChild:
    try:
        return _TO_CHILD.decode(line)
    except msgspec.DecodeError as error:
        raise ControlError(f"the supervisor said {line[:100]!r}: {error}") from error


def decode_from_child(line: bytes) -> FromChild:
    try:
        return _FROM_CHILD.decode(line)
    except msgspec.DecodeError as error:
        raise ControlError(f"a child process said {line[:100]!r}: {error}") from error
