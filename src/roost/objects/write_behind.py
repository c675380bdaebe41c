"""`WriteBehind`: keys and values in memory, written to the storage every few seconds."""

# For what changes many times a second: cursors, positions, scores.
#
#  (1) Reading and writing cost what a dict costs. What was changed is written together, every few seconds, each key
#      once however often it changed, as one commit; nothing that the object sends waits for it.
#  (2) A value is encoded when it is set, as by `storage.put`: what cannot be stored raises there. A later change inside
#      of a value is not seen; set it again.
#  (3) A crash, or a reset, loses what changed since the last flush, and nothing else: at most `seconds`.

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from roost import codec
from roost.errors import InvalidStateError, WrongTypeError
from roost.objects.context import DurableObjectState
from roost.storage.arguments import encoded
from roost.storage.kv import KeyRange

if TYPE_CHECKING:
    from roost.limits import Limits

SECONDS = 5.0


class WriteBehind(MutableMapping[str, Any]):
    """A dict of the object's that is kept in memory and written to its storage every few seconds.

    ```python
    class Room(DurableObject):
        def __init__(self, ctx, env):
            super().__init__(ctx, env)
            self.cursors = WriteBehind(ctx, prefix="cursor:")

        def web_socket_message(self, ws, message):
            self.cursors[ws.tags[0]] = message
            self.ctx.broadcast(message, exclude=ws)
    ```

    Keys are stored under `prefix`; what is stored there is read when the dict is first used. It is written after
    `seconds`, before hibernation, before a deploy and before the system stops. A crash, or a reset of the object, loses
    what changed since: at most so many seconds. What may not be lost belongs into `ctx.storage.put`.
    """

    def __init__(self, ctx: DurableObjectState, *, prefix: str = "", seconds: float = SECONDS) -> None:
        """`ctx` is the object's. Raises WrongTypeError and InvalidArgumentError for what makes no sense."""
        if not isinstance(ctx, DurableObjectState):
            raise WrongTypeError(f"WriteBehind takes the object's ctx first, got {type(ctx).__name__}")
        if not isinstance(prefix, str):
            raise WrongTypeError(f"the prefix must be a str, got {type(prefix).__name__}")
        activation = ctx._activation
        self._storage = activation.storage
        self._limits: Limits = activation.surroundings.limits
        self._prefix = prefix
        self._values: dict[str, Any] | None = None
        self._changed: dict[str, bytes | None] = {}
        """The stored form of what changed, None for what was removed."""
        self._periodic = activation.periodics.add(seconds, self._write, self._is_dirty)

    # -- the dict ------------------------------------------------------------------------------------------------------

    @property
    def _present(self) -> dict[str, Any]:
        if self._values is None:
            pairs = self._storage.select(KeyRange(prefix=self._prefix))
            self._values = {key.removeprefix(self._prefix): codec.decode(raw) for key, raw in pairs}
        return self._values

    def __getitem__(self, key: str) -> Any:
        return self._present[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise WrongTypeError(f"a key must be a str, got {type(key).__name__}")
        present = self._present
        _, self._changed[key] = encoded(self._prefix + key, value, self._limits)
        present[key] = value

    def __delitem__(self, key: str) -> None:
        del self._present[key]
        self._changed[key] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._present)

    def __len__(self) -> int:
        return len(self._present)

    def __contains__(self, key: object) -> bool:
        return key in self._present

    # -- writing -------------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many keys have changed and are not written yet."""
        return len(self._changed)

    async def flush(self) -> None:
        """Write what changed now. To know that it is durable, await `ctx.storage.sync()` after it.

        Raises InvalidStateError inside a transaction, which could take it back.
        """
        if self._storage.depth:
            raise InvalidStateError("a WriteBehind cannot be flushed inside a transaction")
        await self._periodic.flush()

    def _is_dirty(self) -> bool:
        return bool(self._changed)

    def _write(self) -> None:
        storage = self._storage
        for key, raw in self._changed.items():
            if raw is None:
                storage.delete(self._prefix + key, confirmed=False)
            else:
                storage.put(self._prefix + key, raw, confirmed=False)
        self._changed.clear()

    def __repr__(self) -> str:
        return f"<WriteBehind {self._prefix!r}, {self.pending} to be written>"
