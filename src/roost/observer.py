"""Named happenings inside roost, for logs, metrics and tests."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

Listener: TypeAlias = Callable[[str, dict[str, Any]], object]
"""Called with the name of what happened and its facts."""

_log = logging.getLogger("roost.observer")


class Observer:
    """Tells listeners what happens, by dotted names such as `"object.constructed"`, each with facts.

    One belongs to each gateway or host and is used on its loop alone. Without listeners a notification costs a call and
    nothing else; listeners are called at once, and what they raise is logged and goes no further.
    """

    __slots__ = ("_by_name", "_of_all")

    def __init__(self) -> None:
        self._by_name: dict[str, list[Listener]] = {}
        self._of_all: list[Listener] = []

    @property
    def listening(self) -> bool:
        """Whether anybody listens: worth asking where the facts are costly to gather."""
        return bool(self._by_name or self._of_all)

    def notify(self, name: str, /, **facts: Any) -> None:
        """It happened."""
        if not self._by_name and not self._of_all:
            return
        for listener in (*self._by_name.get(name, ()), *self._of_all):
            try:
                listener(name, facts)
            except Exception:  # noqa: BLE001 - a listener is never the business of what it listens to
                _log.exception("a listener for %s failed", name)

    def report(self, name: str, message: str, error: BaseException, /, **facts: Any) -> None:
        """Something failed: log it with its traceback under `roost.<first part of the name>`, and notify with `error`
        among the facts.
        """
        told = "".join(f" {key}={value!r}" for key, value in facts.items())
        logging.getLogger(f"roost.{name.partition('.')[0]}").error(
            "%s%s", message, told, exc_info=error, extra={"happening": name, "facts": facts}
        )
        self.notify(name, error=error, **facts)

    def subscribe(self, name: str | None, listener: Listener) -> Callable[[], None]:
        """Call `listener` whenever that happens, or for everything when `name` is None. The result, called, ends it."""
        listeners = self._of_all if name is None else self._by_name.setdefault(name, [])
        listeners.append(listener)
        return functools.partial(self._unsubscribe, name, listener)

    def wait_for(self, name: str, /, **facts: Any) -> asyncio.Future[dict[str, Any]]:
        """The facts of the next happening of that name that has these facts among its own.

        It listens from this call on, not from the `await`: ask first, then cause it, then await.
        """
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def listener(_: str, told: dict[str, Any]) -> None:
            if not found.done() and all(key in told and told[key] == value for key, value in facts.items()):
                found.set_result(told)
                unsubscribe()

        unsubscribe = self.subscribe(name, listener)
        found.add_done_callback(lambda _: unsubscribe())
        return found

    def _unsubscribe(self, name: str | None, listener: Listener) -> None:
        listeners = self._of_all if name is None else self._by_name.get(name, [])
        if listener in listeners:
            listeners.remove(listener)
        if name is not None and not listeners:
            self._by_name.pop(name, None)
