"""One process that the supervisor has started: what it said, what it is told, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from roost.errors import RoostError
from roost.supervisor.messages import (
    LINE_BYTES_MAX,
    Answer,
    Ask,
    ControlError,
    Failed,
    Order,
    Ping,
    Pong,
    Ready,
    Serving,
    Start,
    ToChild,
    decode_from_child,
    encode,
)

COMMAND = (sys.executable, "-P", "-m", "roost.node")  # -P: what lies in the working directory must not shadow modules
LAST_WORDS_SECONDS = 1.0


class ChildFailedError(RoostError):
    """The process could not begin; `failed` is its own account, None where it died without one."""

    def __init__(self, message: str, failed: Failed | None) -> None:
        super().__init__(message)
        self.failed = failed


class Child:
    """A running process. Make one with `start_child`."""

    def __init__(self, start: Start, process: asyncio.subprocess.Process, control: _Control) -> None:
        self.role = start.role
        self.number = start.number
        self.pid = process.pid
        self.placeholder = start.broken is not None
        """Of a host: it runs no app, and only says that the app does not import."""
        self.born = asyncio.get_running_loop().time()
        self._process = process
        self._control = control
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._serving: asyncio.Future[None] = loop.create_future()
        self._word = asyncio.Event()
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._failed: Failed | None = None
        self._exit: asyncio.Task[int] = asyncio.create_task(self._live(), name=f"watch {self.name}")

    @property
    def name(self) -> str:
        """As messages and `ps` call it: `host 0`."""
        return f"{self.role} {self.number}"

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return asyncio.get_running_loop().time() - self.born

    def tell(self, message: ToChild) -> None:
        """Say something; a process that is gone does not hear it."""
        self._control.write(message)

    async def ready(self) -> None:
        """Returns once it has said `Ready`; raises ChildFailedError when it never will."""
        await asyncio.shield(self._ready)

    async def serving(self) -> None:
        """Returns once it has said `Serving`; raises ChildFailedError when it never will."""
        await asyncio.shield(self._serving)

    async def ask(self, seconds: float) -> Any:
        """Its report; None where it does not answer in time, or is gone."""
        return await self._answer_to(Ask, seconds)

    async def order(self, seconds: float, what: str, arguments: dict[str, Any]) -> Any:
        """What it says to an order, see `Order`; None where it does not answer in time, or is gone."""
        return await self._answer_to(lambda number: Order(number, what, arguments), seconds)

    async def _answer_to(self, question: Callable[[int], ToChild], seconds: float) -> Any:
        if not self.alive:
            return None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.tell(question(number))
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._answers[number]

    async def answers(self, seconds: float) -> bool:
        """Ping it: whether it says something within so many seconds. Only one that serves is sure to."""
        self._word.clear()
        self.tell(Ping())
        try:
            async with asyncio.timeout(seconds):  # not wait_for: on 3.11 that can swallow a cancellation
                await self._word.wait()
        except TimeoutError:
            return False
        return True

    async def exited(self) -> int:
        """Its status once it is gone: 0 and up as it chose, below 0 the signal that killed it."""
        return await asyncio.shield(self._exit)

    async def ended(self, seconds: float) -> bool:
        """Wait for its end; when it takes longer, kill it. Whether it ended by itself."""
        try:
            async with asyncio.timeout(seconds):
                await self.exited()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def kill(self) -> None:
        """End it now, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.exited()

    async def _live(self) -> int:
        """Listen for as long as it lives, and to what it had still said."""
        listening = asyncio.create_task(self._listen(), name=f"listen to {self.name}")
        status = await self._process.wait()
        # What it said is in the socket already. That need not end: a process which user code forked may hold it open.
        await asyncio.wait({listening}, timeout=LAST_WORDS_SECONDS)
        listening.cancel()
        self._control.close()
        self._give_up(status)
        return status

    async def _listen(self) -> None:
        try:
            async for line in self._control.lines():
                self._hear(line)
        except ControlError as error:
            self._failed = Failed("internal", str(error))
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _hear(self, line: bytes) -> None:
        message = decode_from_child(line)
        self._word.set()
        match message:
            case Ready():
                _succeed(self._ready)
            case Serving():
                _succeed(self._ready)
                _succeed(self._serving)
            case Failed() as failed:
                self._failed = failed
            case Answer(number, report):
                answer = self._answers.get(number)
                if answer is not None and not answer.done():
                    answer.set_result(report)
            case Pong():
                pass  # that it spoke is all it says

    def _give_up(self, status: int) -> None:
        """Nobody waits for what will not come."""
        message = self._failed.message if self._failed else f"{self.name} {describe_exit(status)}"
        error = ChildFailedError(message, self._failed)
        for milestone in (self._ready, self._serving):
            if not milestone.done():
                milestone.set_exception(error)
                milestone.exception()  # seen: whoever waits is told, and often nobody does
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)


class _Control:
    """The supervisor's end of a control channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def lines(self) -> AsyncIterator[bytes]:
        """Whole lines, until the other side is gone."""
        while True:
            try:
                line = await self._reader.readuntil()
            except asyncio.LimitOverrunError as error:
                raise ControlError(f"a child process said a line longer than {LINE_BYTES_MAX} bytes") from error
            except (asyncio.IncompleteReadError, ConnectionError):
                return  # a line without its end is the last word of a process that was killed
            yield line

    def write(self, message: ToChild) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def close(self) -> None:
        self._writer.close()


async def start_child(
    start: Start, command: Sequence[str] = COMMAND, *, keep: Sequence[int] = (), environ: dict[str, str] | None = None
) -> Child:
    """Start a process of that role and tell it how; it inherits the descriptors in `keep`.

    Cancelled, it leaves no process behind.
    """
    starting = asyncio.ensure_future(_start_child(start, command, keep, environ))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})  # half a process cannot be killed
        if starting.exception() is None:
            await starting.result().kill()
        raise


async def _start_child(
    start: Start, command: Sequence[str], keep: Sequence[int], environ: dict[str, str] | None
) -> Child:
    ours, theirs = socket.socketpair()
    try:
        # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops all in order.
        process = await asyncio.create_subprocess_exec(
            *command, start.role, stdin=theirs.fileno(), pass_fds=keep, start_new_session=True, env=environ
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_BYTES_MAX)
    child = Child(start, process, _Control(reader, writer))
    child.tell(start)
    return child


def describe_exit(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _succeed(milestone: asyncio.Future[None]) -> None:
    if not milestone.done():
        milestone.set_result(None)
