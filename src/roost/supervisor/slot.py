"""The place of one process: it is never empty for longer than it takes to start another."""

# What a slot promises:
#
#  (1) At most one of its processes serves: a successor is told to serve once its predecessor is gone, never before.
#  (2) A process that dies is replaced, at once the first time and ever more slowly while it keeps dying.
#  (3) A successor that cannot begin changes nothing: the process that serves goes on serving.
#  (4) One change at a time: a death during a replacement is dealt with after it.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from roost.supervisor.backoff import Backoff
from roost.supervisor.child import Child, ChildFailedError, describe_exit
from roost.supervisor.messages import Drain, Failed, Raised, Serve, Stop
from roost.supervisor.reporter import Reporter

Launch: TypeAlias = Callable[[int, Raised | None], Awaitable[Child]]
"""Start a process of that number, which waits for `Serve`; with what the app raised: one that only tells clients."""

KILL_AFTER_SECONDS = 1.0  # beyond the time that a process was given to finish in


class Slot:
    """One gateway or host, whichever process it is at the moment."""

    def __init__(
        self,
        role: str,
        number: int,
        launch: Launch,
        reporter: Reporter,
        *,
        placeholder: bool = False,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.role = role
        self.number = number
        self.name = f"{role} {number}"
        self.child: Child | None = None
        """The process that serves, or served last."""
        self.preparing = False
        """A successor is being prepared; cancelling `replace` now leaves everything as it was."""
        self._launch = launch
        self._reporter = reporter
        self._placeholder = placeholder
        self._sleep = sleep
        self._backoff = Backoff()
        self._changing = asyncio.Lock()
        self._all: set[Child] = set()

    async def begin(self) -> None:
        """Returns once the first process serves. Raises ChildFailedError when it cannot."""
        self.child = await self._start()

    async def keep(self) -> None:
        """Start another whenever the process dies, until cancelled. After `begin`."""
        while True:
            child = self.child
            assert child is not None, "a slot is kept from its first process on"
            status = await child.exited()
            async with self._changing:
                if self.child is child:
                    self._reporter.warn(f"{self.name} (process {child.pid}) {describe_exit(status)}; starting another")
                    await self._restart(child.age)

    async def replace(self, drain_seconds: float) -> bool:
        """Put a successor in the place of the process that serves. False when it could not begin: nothing changed."""
        async with self._changing:
            try:
                self.preparing = True
                successor = await self._prepare()
            except ChildFailedError as error:
                self._reporter.failed(self._account(error), "the previous version goes on serving")
                return False
            finally:
                self.preparing = False
            await self._swap(successor, drain_seconds)
            return True

    def tell(self, message: Drain | Stop) -> None:
        """Say something to the process that serves."""
        if self.child is not None:
            self.child.tell(message)

    async def end(self, message: Drain | Stop) -> None:
        """Let the process finish, or kill it when that takes too long. `keep` must not run any more."""
        if self.child is not None:
            self.child.tell(message)
            await self._await_end(self.child, message.seconds)

    async def kill(self) -> None:
        """End all its processes now."""
        await asyncio.gather(*(child.kill() for child in self._all))

    # -- the process that serves -----------------------------------------------------------------------------------

    async def _restart(self, lived: float) -> None:
        while True:
            await self._sleep(self._backoff.after(lived))
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                self.child = await self._start()
            except ChildFailedError as error:
                self._reporter.failed(self._account(error), f"{self.name} is tried again")
                lived = loop.time() - started
            else:
                return

    async def _start(self) -> Child:
        """A process that serves: the app, or in its place one that tells clients why the app does not import."""
        try:
            return await self._serving(None)
        except ChildFailedError as error:
            failed = error.failed
            if not self._placeholder or failed is None or failed.kind != "app":
                raise
            self._reporter.failed(failed, "clients get status 503 until it is mended")
            return await self._serving(failed.raised or Raised("AppLoadError", failed.message))

    async def _serving(self, broken: Raised | None) -> Child:
        child = await self._prepare(broken)
        try:
            child.tell(Serve())
            await child.serving()
        except BaseException:
            await child.kill()
            raise
        return child

    async def _prepare(self, broken: Raised | None = None) -> Child:
        child = await self._launch(self.number, broken)
        self._all = {other for other in self._all if other.alive} | {child}
        try:
            await child.ready()
        except BaseException:
            await child.kill()
            raise
        return child

    async def _swap(self, successor: Child, drain_seconds: float) -> None:
        predecessor, self.child = self.child, successor
        try:
            if predecessor is not None:
                predecessor.tell(Drain(drain_seconds))
                await self._await_end(predecessor, drain_seconds)
            successor.tell(Serve())
            await successor.serving()
        except ChildFailedError as error:
            self._reporter.failed(self._account(error), f"{self.name} is tried again")  # the keeper sees its end
        except BaseException:
            await successor.kill()
            if predecessor is not None:
                await predecessor.kill()
            raise

    # -- ends ------------------------------------------------------------------------------------------------------

    async def _await_end(self, child: Child, seconds: float) -> None:
        if not await child.ended(seconds + KILL_AFTER_SECONDS):
            self._reporter.warn(f"{self.name} (process {child.pid}) did not finish within {seconds:g} s and was killed")

    def _account(self, error: ChildFailedError) -> Failed:
        return error.failed or Failed("internal", str(error))
