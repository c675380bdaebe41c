"""A workshop for supervisor tests: an app's file that says what the fake child does, and a reporter that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from roost.config import Settings
from roost.supervisor.child import Child, ChildFailedError, start_child
from roost.supervisor.messages import Failed, Raised, Sockets, Start
from roost.supervisor.slot import Slot

FAKE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_child.py")))


class Told:
    """A reporter that remembers, and wakes whoever waits for a word of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Event()

    def serving(self, app: str, url: str) -> None:
        self._add(f"serving {app} on {url}")

    def note(self, text: str) -> None:
        self._add(f"note: {text}")

    def warn(self, text: str) -> None:
        self._add(f"warn: {text}")

    def failed(self, failed: Failed, then: str) -> None:
        self._add(f"failed: {failed.kind}: {failed.message}: {then}")

    def _add(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def until(self, words: str, count: int = 1) -> str:
        """The line with these words, once it has been told so often."""
        while True:
            found = [line for line in self.lines if words in line]
            if len(found) >= count:
                return found[count - 1]
            self._changed.clear()
            await self._changed.wait()


class Shop:
    """Fake children, their app, and what they noted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.app = directory / "app.py"
        self.data = directory / "data"
        self.data.mkdir()
        self.told = Told()
        self.children: list[Child] = []
        self.slept: list[float] = []
        self._launched = asyncio.Event()
        self.does("works")

    @property
    def settings(self) -> Settings:
        return Settings(app=str(self.app), data=str(self.data))

    def does(self, what: str) -> None:
        self.app.write_text(what)

    async def launch(self, role: str = "host", number: int = 0, broken: Raised | None = None) -> Child:
        start = Start(role, number, self.settings, Sockets(str(self.data)), broken=broken)
        child = await start_child(start, FAKE)
        self.children.append(child)
        self._launched.set()
        return child

    async def child(self, count: int) -> Child:
        """The process that was started as that one, from 1."""
        while len(self.children) < count:
            self._launched.clear()
            await self._launched.wait()
        return self.children[count - 1]

    async def until_one_serves(self, after: int) -> None:
        """One of those that were started after so many serves."""
        while True:
            after += 1
            with contextlib.suppress(ChildFailedError):
                return await (await self.child(after)).serving()

    async def launch_host(self, number: int, broken: Raised | None) -> Child:
        return await self.launch("host", number, broken)

    def slot(self, *, placeholder: bool = False, silence_seconds: float = 0.0) -> Slot:
        return Slot(
            "host",
            0,
            self.launch_host,
            self.told,
            placeholder=placeholder,
            silence_seconds=lambda: silence_seconds,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def steps(self) -> list[str]:
        path = self.data / "steps"
        return path.read_text().splitlines() if path.exists() else []

    async def until_step(self, words: str) -> None:
        """A child has noted that. It is another process, which writes to a file."""
        while not any(words in step for step in self.steps()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def kill(self, child: Child) -> None:
        os.kill(child.pid, signal.SIGKILL)


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    made = Shop(tmp_path)
    yield made
    for child in made.children:
        await child.kill()


@contextlib.asynccontextmanager
async def keeping(slot: Slot) -> AsyncIterator[None]:
    """The slot is kept within the block."""
    await slot.begin()
    task = asyncio.create_task(slot.keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        await slot.kill()


@pytest.fixture
def kept() -> object:
    return keeping


@pytest.fixture
def fake() -> tuple[str, ...]:
    """The command that starts a fake child."""
    return FAKE
