"""The permanent address of an object.

An id is 32 bytes, written as 64 hexadecimal digits: 16 bytes that are random or the truncated HMAC-SHA256 of a name,
then the first 16 bytes of the HMAC of those 16, both under the namespace's key. So an id of another class is
recognised offline (Durable Objects, "Durable Object ID"; workerd `server/actor-id-impl.c++`).
"""

from __future__ import annotations

import hashlib
import hmac
import os

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import DEFAULTS

ID_BYTES = 32
_HALF = 16


class ObjectId:
    """The address of one object of one class: comparable, hashable, and a string when it must be written down.

    Make one with a namespace: `env.ROOM.id_from_name("x")`, `.new_unique_id()` or `.id_from_string(text)`.
    """

    __slots__ = ("_key", "binding", "name")

    def __init__(self, key: bytes, binding: str, name: str | None = None) -> None:
        self._key = key
        self.binding = binding
        """The name of the namespace in `env`, such as `"WHITEBOARD_ROOM"`."""
        self.name = name
        """The name that it was made from, or None where that is not known."""

    @property
    def key(self) -> bytes:
        """The 32 bytes of the id."""
        return self._key

    @property
    def jurisdiction(self) -> str | None:
        """Always None on one machine."""
        return None

    def to_string(self) -> str:
        """64 lower-case hexadecimal digits."""
        return self._key.hex()

    def equals(self, other: ObjectId) -> bool:
        """Whether both are the same address; the name takes no part."""
        return self == other

    def __str__(self) -> str:
        return self._key.hex()

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name is not None else ""
        return f"<ObjectId {self.binding}{named} {self._key.hex()[:12]}…>"

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, ObjectId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)


def typed(object_id: ObjectId) -> str:
    """An object as people write it at a terminal: `ROOM:lobby`; without a name, its class and its digits."""
    name = object_id.name
    return f"{object_id.binding} {object_id}" if name is None else f"{object_id.binding}:{name}"


class IdSpace:
    """Makes and checks the ids of one namespace. `unique_key` must never change: it is part of every id."""

    def __init__(self, binding: str, unique_key: str, name_bytes_max: int = DEFAULTS.name_bytes_max) -> None:
        self.binding = binding
        self._secret = hashlib.sha256(unique_key.encode()).digest()
        self._name_bytes_max = name_bytes_max

    def from_name(self, name: str) -> ObjectId:
        """The same id for the same name, for ever.

        Raises WrongTypeError when `name` is no string, LimitExceededError when it is longer than 1 024 bytes of UTF-8.
        """
        if not isinstance(name, str):
            raise WrongTypeError(f"the name of an object must be a str, got {type(name).__name__}")
        try:
            raw = name.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"the name {name!r} has a lone surrogate, which UTF-8 cannot hold") from error
        if len(raw) > self._name_bytes_max:
            raise LimitExceededError(
                f"the name of an object may have {self._name_bytes_max} bytes of UTF-8, this one has {len(raw)}",
                limit=self._name_bytes_max,
                actual=len(raw),
            )
        return self._sealed(self._mac(raw), name)

    def unique(self) -> ObjectId:
        """A new random id, never used before; keep its string, nothing else leads back to it."""
        return self._sealed(os.urandom(_HALF), None)

    def from_string(self, text: str) -> ObjectId:
        """The id that was written down as 64 hexadecimal digits, in either case.

        Raises WrongTypeError when `text` is no string, InvalidArgumentError when it is no id of this namespace.
        """
        if not isinstance(text, str):
            raise WrongTypeError(f"an id in string form must be a str, got {type(text).__name__}")
        try:
            key = bytes.fromhex(text) if len(text) == 2 * ID_BYTES else b""
        except ValueError:
            key = b""
        if len(key) != ID_BYTES:
            raise InvalidArgumentError(f"an id in string form must be {2 * ID_BYTES} hex digits, got {text[:80]!r}")
        if not self.owns(key):
            raise InvalidArgumentError(f"the id {text[:12]}… is not valid for this namespace, {self.binding}")
        return ObjectId(key, self.binding)

    def owns(self, key: bytes) -> bool:
        """Whether these 32 bytes are an id of this namespace."""
        return hmac.compare_digest(self._mac(key[:_HALF]), key[_HALF:])

    def _sealed(self, half: bytes, name: str | None) -> ObjectId:
        return ObjectId(half + self._mac(half), self.binding, name)

    def _mac(self, raw: bytes) -> bytes:
        return hmac.digest(self._secret, raw, "sha256")[:_HALF]
