"""What user code is given beside the request: its bindings and plain variables."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from roost.errors import InvalidStateError, UnknownBindingError


class Env:
    """Bindings by name: `env.WHITEBOARD_ROOM`, `env["WHITEBOARD_ROOM"]`, `"ROOM" in env`; iteration gives the names.

    A name it does not have raises UnknownBindingError, which lists those it has and is an AttributeError, so
    `getattr(env, "X", None)` works.
    """

    __slots__ = ("__dict__",)

    def __init__(self, bindings: Mapping[str, Any] | None = None) -> None:
        # Straight into the instance, so that reading one costs what any attribute costs.
        self.__dict__.update(bindings or {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # what copy, pickle and inspect ask about is no binding
        self._unknown(name)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name] if name in self.__dict__ else self._unknown(name)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise InvalidStateError(f"env cannot be changed: {name!r} belongs into the configuration")

    def __delattr__(self, name: str) -> NoReturn:
        raise InvalidStateError(f"env cannot be changed: {name!r} belongs into the configuration")

    def __contains__(self, name: object) -> bool:
        return name in self.__dict__

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__})

    def __repr__(self) -> str:
        return f"<Env {', '.join(sorted(self.__dict__)) or 'empty'}>"

    def _unknown(self, name: str) -> NoReturn:
        has = ", ".join(sorted(self.__dict__)) or "none"
        near = difflib.get_close_matches(str(name).upper(), [known for known in self.__dict__ if known != name], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownBindingError(f"env has no binding {name!r}; it has: {has}{hint}")
