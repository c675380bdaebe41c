"""The place of one process: it is never empty for longer than it takes to start another."""

# What a slot promises:
#
#  (1) At most one of its processes serves: a successor is told to serve once its predecessor is gone, never before.
#  (2) A process that dies is replaced, at once the first time and ever more slowly while it keeps dying.
#  (3) A successor that cannot begin changes nothing: the process that serves goes on serving.
#  (4) One change at a time: a death during a replacement is dealt with after it.
#  (5) A process that serves and does not answer any more is killed, so that the lock it holds is free for another.
#  (6) A placeholder stands in at the beginning only. Later there may be sockets, and an app that it does not have would
#      cost them; without any process they wait.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from roost.supervisor.backoff import Backoff
from roost.supervisor.child import Child, ChildFailedError, describe_exit
from roost.supervisor.messages import Drain, Failed, Raised, Serve, Stop
from roost.supervisor.pulse import silence_of
from roost.supervisor.reporter import Reporter
from roost.supervisor.tasks import cancel

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
        silence_seconds: Callable[[], float] = lambda: 0.0,
        sleep: Callable[[float], Coroutine[Any, Any, object]] = asyncio.sleep,
    ) -> None:
        """`silence_seconds`: how long the process that serves may leave a ping unanswered; 0 is for ever."""
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
        self._silence_seconds = silence_seconds
        self._sleep = sleep
        self._backoff = Backoff()
        self._changing = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._all: set[Child] = set()

    async def begin(self) -> None:
        """Returns once the first process serves. Raises ChildFailedError when it cannot."""
        self.child = await self._start(self._placeholder)

    async def keep(self) -> None:
        """Start another whenever the process dies, until cancelled. After `begin`."""
        while True:
            child = self.child
            assert child is not None, "a slot is kept from its first process on"
            status = await self._outlive(child)
            async with self._changing:
                if self.child is child:
                    self._reporter.warn(f"{self.name} (process {child.pid}) {describe_exit(status)}; starting another")
                    await self._restart(child.age, placeholder=child.placeholder)

    async def replace(self, drain_seconds: float) -> bool:
        """Put a successor in the place of the process that serves. False when it could not begin: nothing changed."""
        asked = asyncio.get_running_loop().time()
        self._hurry.set()  # whoever waits to start another after a death need not wait longer
        self.preparing = True
        try:
            async with self._changing:
                self._hurry.clear()
                if self.child is not None and self.child.alive and self.child.born > asked:
                    return True
                successor = await self._prepare()
                self.preparing = False
                await self._swap(successor, drain_seconds)
                return True
        except ChildFailedError as error:
            self._reporter.failed(self._account(error), "the previous version goes on serving")
            return False
        finally:
            self.preparing = False

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

    async def _restart(self, lived: float, *, placeholder: bool) -> None:
        while True:
            await self._pause(self._backoff.after(lived))
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                self.child = await self._start(placeholder)
            except ChildFailedError as error:
                self._reporter.failed(self._account(error), f"{self.name} is tried again")
                lived = loop.time() - started
            else:
                return

    async def _outlive(self, child: Child) -> int:
        pulse = asyncio.create_task(self._end_silence(child), name=f"pulse of {self.name}")
        try:
            return await child.exited()
        finally:
            await cancel({pulse})
            if not pulse.cancelled():
                pulse.result()

    async def _end_silence(self, child: Child) -> None:
        seconds = self._silence_seconds()
        if not seconds:
            return
        await silence_of(child, seconds)
        if self.child is child:  # or else it is being replaced, and has a time to finish in
            self._reporter.warn(f"{self.name} (process {child.pid}) has not answered for {seconds:g} s and is killed")
            await child.kill()

    async def _pause(self, seconds: float) -> None:
        tasks = {asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._hurry.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hurry.clear()
            await cancel(tasks)

    async def _start(self, placeholder: bool) -> Child:
        """A process that serves: the app, or in its place one that tells clients why the app does not import."""
        try:
            return await self._serving(None)
        except ChildFailedError as error:
            failed = error.failed
            if not placeholder or failed is None or failed.kind != "app":
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
                predecessor.tell(Drain(drain_seconds, replaced=True))
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
