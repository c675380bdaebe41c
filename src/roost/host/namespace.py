"""Namespaces and stubs: how code reaches an object, wherever it lives."""

# Addresses cost nothing:
#
#  (1) Making an id or a stub creates and wakes nothing; the first call does.
#  (2) A call is sent when it is made, not when it is awaited; calls on one stub arrive in the order made.
#  (3) Made inside an object, a call leaves through that object's output gate, as everything does.
#  (4) A stub holds no connection: after its object was reset, or its host replaced, the next call just works.

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NoReturn, Protocol

from roost.errors import InvalidArgumentError, WrongTypeError
from roost.ids import IdSpace, ObjectId
from roost.request import Request
from roost.response import Response

NAMES_MAX = 1_024
"""Whose keys are remembered: making one of a name costs two digests."""

LOCATION_HINTS = ("wnam", "enam", "sam", "weur", "eeur", "apac", "apac-ne", "apac-se", "oc", "afr", "me")
"""Of the platform; on one machine they are all the same place."""


class Caller(Protocol):
    """What delivers the calls of stubs."""

    def fetch(self, object_id: ObjectId, request: Request) -> Awaitable[Response]:
        """Send the request now; the result gives the response, or raises what the object raised."""


class Stub:
    """The stand-in of one object, for those who want something of it."""

    __slots__ = ("_caller", "_id")

    def __init__(self, object_id: ObjectId, caller: Caller) -> None:
        self._id = object_id
        self._caller = caller

    @property
    def id(self) -> ObjectId:
        return self._id

    @property
    def name(self) -> str | None:
        """The name that the id was made from, where that is known."""
        return self._id.name

    def fetch(self, resource: str | Request, init: Request | None = None, **changes: Any) -> Awaitable[Response]:
        """Run the object's `fetch` with a request: `await stub.fetch(request)`, or a URL with what `Request` takes.

        The URL must be absolute; its host is not resolved and means nothing. Raises what the object raised.
        """
        if type(resource) is Request and init is None and not changes:
            return self._caller.fetch(self._id, resource.handed_on())
        return self._caller.fetch(self._id, Request(resource, init, **changes))

    def __repr__(self) -> str:
        return f"<Stub of {self._id!r}>"


class Namespace:
    """All objects of one class, as `env.ROOM`."""

    __slots__ = ("_caller", "_keys", "_space")

    def __init__(self, space: IdSpace, caller: Caller) -> None:
        self._space = space
        self._keys: dict[str, bytes] = {}
        """By name, of the names used last."""
        self._caller = caller

    @property
    def binding(self) -> str:
        """Its name in `env`."""
        return self._space.binding

    def id_from_name(self, name: str) -> ObjectId:
        """The id of that name: always the same one."""
        key = self._keys.get(name) if type(name) is str else None
        if key is not None:
            return ObjectId(key, self._space.binding, name)
        object_id = self._space.from_name(name)
        if len(self._keys) >= NAMES_MAX:
            self._keys.clear()
        self._keys[name] = object_id.key
        return object_id

    def new_unique_id(self, *, jurisdiction: str | None = None) -> ObjectId:
        """A random id, never used before. Keep `str(id)`: nothing else leads back to the object."""
        if jurisdiction is not None:
            self._refuse_jurisdiction(jurisdiction)
        return self._space.unique()

    def id_from_string(self, text: str) -> ObjectId:
        """The id that `str(id)` gave. Raises InvalidArgumentError when it is none of this namespace."""
        return self._space.from_string(text)

    def get(self, object_id: ObjectId, *, location_hint: str | None = None) -> Stub:
        """The stub of an id. Raises InvalidArgumentError for an id of another class."""
        if not isinstance(object_id, ObjectId):
            raise WrongTypeError(
                f"get takes an ObjectId, got {type(object_id).__name__}; id_from_string makes one of text"
            )
        if not self._space.owns(object_id.key):
            raise InvalidArgumentError(
                f"{object_id!r} is an id of {object_id.binding}, this namespace is {self.binding}"
            )
        return self._stub(object_id, location_hint)

    def _stub(self, object_id: ObjectId, location_hint: str | None) -> Stub:
        if location_hint is not None and location_hint not in LOCATION_HINTS:
            known = ", ".join(LOCATION_HINTS)
            raise InvalidArgumentError(f"there is no location {location_hint!r}; the known ones are {known}")
        return Stub(object_id, self._caller)

    def get_by_name(self, name: str, *, location_hint: str | None = None) -> Stub:
        """The same as `get(id_from_name(name))`."""
        return self._stub(self.id_from_name(name), location_hint)

    def jurisdiction(self, name: str) -> NoReturn:
        """Raises InvalidArgumentError: one machine has no jurisdictions to choose from."""
        self._refuse_jurisdiction(name)

    def _refuse_jurisdiction(self, name: object) -> NoReturn:
        raise InvalidArgumentError(
            f"jurisdiction {name!r} cannot be promised here: roost on one machine keeps every object on that machine"
        )

    def __repr__(self) -> str:
        return f"<Namespace {self.binding}>"
