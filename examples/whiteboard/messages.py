"""What a page may say to its whiteboard, as types, and how it is read: whatever does not fit is a BadMessage."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

POINTS_MAX = 2_000  # of one stroke; the page begins another where a line is longer
CHANGE_MAX = 100  # strokes in one change: a put takes 128 keys
MESSAGE_CHARACTERS_MAX = 1_000_000
NAME_CHARACTERS_MAX = 40
ROOM_CHARACTERS_MAX = 80

Coordinate = Annotated[float, Meta(ge=-1e7, le=1e7)]
Colour = Annotated[str, Meta(pattern=r"^([a-z]{2,16}|#[0-9a-f]{6})$")]
KEY_PATTERN = r"^[0-9a-z]{8,32}$"
Key = Annotated[str, Meta(pattern=KEY_PATTERN)]
Name = Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)]
Number = Annotated[int, Meta(ge=1, le=2**53)]
Tool = Literal["pen", "marker"]
Width = Annotated[float, Meta(gt=0, le=1_000)]


class Stroke(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line: x, y and pressure (0 to 1) of each point, one after the other."""

    id: Key
    tool: Tool
    colour: Colour
    width: Width
    points: Annotated[list[Coordinate], Meta(min_length=3, max_length=3 * POINTS_MAX)]
    order: Annotated[int, Meta(ge=0, le=2**53)] = 0  # its place from below; 0: on top

    def __post_init__(self) -> None:
        require_triples(self.points)


class Piece(Struct, forbid_unknown_fields=True):
    """Some more points of a line that is still being drawn."""

    id: Key
    tool: Tool
    colour: Colour
    width: Width
    at: Annotated[int, Meta(ge=0, le=POINTS_MAX)]  # points that came before
    points: Annotated[list[Coordinate], Meta(max_length=3 * POINTS_MAX)]

    def __post_init__(self) -> None:
        require_triples(self.points)


class Hello(Struct, tag="hello", forbid_unknown_fields=True):
    """The first message: who comes, and which state of the board the page already has."""

    name: Name
    colour: Colour
    board: str = ""
    revision: int = -1


class Profile(Struct, tag="profile", forbid_unknown_fields=True):
    """A new name or colour."""

    name: Name
    colour: Colour


class Sync(Struct, tag="sync", forbid_unknown_fields=True):
    """Asks for a page of the board: the strokes whose id comes after this one."""

    after: Annotated[str, Meta(max_length=32)] = ""


class Cursor(Struct, tag="cursor", forbid_unknown_fields=True):
    """Where somebody points, up to sixty times a second; `away` once the pointer has left the page."""

    x: Coordinate = 0
    y: Coordinate = 0
    away: bool = False
    piece: Piece | None = None
    dropped: Key | None = None  # an unfinished stroke that will not be finished


class Add(Struct, tag="add", forbid_unknown_fields=True):
    """Put strokes on the board; those whose id is there already stay as they are."""

    client: Key
    seq: Number
    strokes: Annotated[list[Stroke], Meta(min_length=1, max_length=CHANGE_MAX)]


class Remove(Struct, tag="remove", forbid_unknown_fields=True):
    """Take strokes off the board."""

    client: Key
    seq: Number
    ids: Annotated[list[Key], Meta(min_length=1, max_length=CHANGE_MAX)]


class Clear(Struct, tag="clear", forbid_unknown_fields=True):
    """Take everything off the board."""

    client: Key
    seq: Number


class Numbered(Struct):
    """What is needed of a change to refuse it."""

    client: Key
    seq: Number


Change = Add | Remove | Clear
Message = Hello | Profile | Sync | Cursor | Add | Remove | Clear
_MESSAGE = msgspec.json.Decoder(Message)
_NUMBERED = msgspec.json.Decoder(Numbered)


class BadMessage(Exception):  # noqa: N818 - it is a verdict, and is answered
    """A message that does not fit; its text goes back to the page."""


def require_triples(numbers: list[float]) -> None:
    """Points are x, y, pressure; anything else is refused."""
    if len(numbers) % 3:
        raise ValueError(f"points come as x, y, pressure: {len(numbers)} numbers are not a multiple of 3")
    if any(not 0 <= pressure <= 1 for pressure in numbers[2::3]):
        raise ValueError("the pressure of a point is between 0 and 1")


def read_message(message: str | bytes) -> Message:
    """The message as one of the types above; raises BadMessage with what was wrong and what was expected."""
    if not isinstance(message, str):
        raise BadMessage(f"expected a text message with JSON in it, got {len(message)} bytes of binary")
    if len(message) > MESSAGE_CHARACTERS_MAX:
        raise BadMessage(f"a message may have {MESSAGE_CHARACTERS_MAX} characters, this one has {len(message)}")
    try:
        read: Message = _MESSAGE.decode(message)
        return read
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise BadMessage(str(error)) from error


def read_number(message: str | bytes) -> Numbered | None:
    """The number of a change that could not be read, so that its page can stop sending it; None where it has none."""
    try:
        return _NUMBERED.decode(message)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def read_room(name: str) -> str:
    """The room's name without surrounding space; raises BadMessage where it cannot be one."""
    name = name.strip() or "default"
    if len(name) > ROOM_CHARACTERS_MAX:
        raise BadMessage(f"the name of a room may have {ROOM_CHARACTERS_MAX} characters, this one has {len(name)}")
    if not name.isprintable():
        raise BadMessage("the name of a room may only have printable characters")
    return name


def clean_name(name: str) -> str:
    """A person's name as others see it: one line, no control characters, never empty."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in name)
    return " ".join(kept.split()) or "Somebody"


def client_tags(client: str) -> list[str]:
    """The tag by which a page finds the socket it had before; none where the page did not say who it is."""
    return [f"client:{client}"] if re.fullmatch(KEY_PATTERN, client) else []
