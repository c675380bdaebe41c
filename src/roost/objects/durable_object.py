"""The base class of what users write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from roost.objects.context import DurableObjectState


class DurableObject:
    """One live object per id, with its own memory, storage and WebSockets; derive from it and define the methods that
    are needed.

    `async def fetch(self, request)` answers requests. `web_socket_message(self, ws, message)`, `web_socket_close(self,
    ws, code, reason, was_clean)` and `web_socket_error(self, ws, error)` handle the sockets that were taken with
    `self.ctx.accept_web_socket`. All of them may be plain functions too.

    `alarm(self, info)` is called at the time that was given to `ctx.storage.set_alarm`, at least once; when it raises,
    again after growing pauses. `info` is an AlarmInfo.

    `pre_shutdown(self, info)` is called before a planned end of the object's memory: before hibernation, and before its
    host leaves. `info.reason` is "inactive", "codeUpdated" or "stopping". It may take 10 seconds.

    The constructor runs at every start: on first use, after hibernation, after a reset. It is a plain function; what it
    must await goes under `ctx.block_concurrency_while`. `self.ctx` and `self.env` are set before it is called, so a
    class may leave out `super().__init__(ctx, env)`.
    """

    interleave: ClassVar[bool] = True
    """Whether another event may begin where a handler awaits. With False the events of the object run one after the
    other, each to its end.
    """

    ctx: DurableObjectState
    env: Any

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        self.ctx = ctx
        self.env = env
