"""How messages to and from one client are coded: plainly, or with an extension that was agreed on at the handshake."""

from __future__ import annotations

from typing import Protocol

from roost.gateway.framing import encode_message
from roost.gateway.inflating import Inflater
from roost.link.frames import Message


class Coding(Protocol):
    """Of one client; a shared one, of many."""

    @property
    def shared(self) -> bool:
        """Whether the bytes of a message are the same for all clients with this coding."""

    def encode(self, message: Message) -> bytes:
        """The frame of a message. Of a coding that is not shared the client must get exactly these frames, in order."""

    def inflater(self) -> Inflater | None:
        """For a compressed message that begins; None where no compression was agreed on."""

    def close(self) -> None:
        """The client is gone."""


class PlainCoding:
    """Without any extension."""

    __slots__ = ()
    shared = True

    def encode(self, message: Message) -> bytes:
        return encode_message(message)

    def inflater(self) -> None:
        return None

    def close(self) -> None:
        pass


PLAIN = PlainCoding()
