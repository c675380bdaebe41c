"""Which saved files mean that the app is a new one, and waiting for them."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from watchfiles import awatch

from roost.config import FILE, Settings
from roost.errors import ConfigurationError
from roost.supervisor.tasks import cancel

IGNORED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
"""Directories whose files are nobody's source; those whose name begins with a dot are ignored too."""
DEBOUNCE_MS = 400  # an editor's "save all" is one change
STEP_MS = 50


class Watch:
    """The source of one app: `*.py` below its directory, and pyproject.toml. It watches within `async with`."""

    def __init__(self, settings: Settings) -> None:
        self.directory = settings.app_directory.resolve()
        self._data = Path(settings.data).resolve()
        self._pyproject = Path(settings.pyproject).resolve() if settings.pyproject else self.directory / FILE
        self._changed: asyncio.Queue[set[Path]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Watch:
        self._tasks = {asyncio.create_task(self._watch(self.directory, recursive=True), name="watch the app")}
        if self._pyproject.parent != self.directory:
            watching = self._watch(self._pyproject.parent, recursive=False)
            self._tasks.add(asyncio.create_task(watching, name="watch pyproject.toml"))
        await asyncio.sleep(0)  # the first step of each task sets the watch, so that from here on no change is missed
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._tasks)

    async def next(self) -> set[Path]:
        """The files of the next change; saves in quick succession are one.

        Raises ConfigurationError when the system does not let them be watched.
        """
        change = asyncio.create_task(self._changed.get())
        try:
            done, _ = await asyncio.wait({change, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & self._tasks:
                task.result()
            return await change
        finally:
            change.cancel()

    def matters(self, changed: str) -> bool:
        """Whether a change of that file makes the app a new one."""
        path = Path(changed)
        if path == self._pyproject:
            return True
        if path.suffix != ".py" or not path.is_relative_to(self.directory) or path.is_relative_to(self._data):
            return False
        parents = path.relative_to(self.directory).parts[:-1]
        return not any(part in IGNORED or part.startswith(".") for part in parents)

    async def _watch(self, directory: Path, *, recursive: bool) -> None:
        # The directory itself, not the file: editors replace a file, and a watch on the old one would see nothing more.
        changes = awatch(
            directory,
            watch_filter=lambda _, path: self.matters(path),
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            recursive=recursive,
            ignore_permission_denied=True,
        )
        try:
            async for changed in changes:
                self._changed.put_nowait({Path(path) for _, path in changed})
        except (OSError, RuntimeError) as error:  # the second is what its Rust part raises
            raise ConfigurationError(
                f"{directory} cannot be watched for changes: {error}; `roost run` works without that"
            ) from error


def forget_bytecode(sources: Iterable[Path]) -> None:
    """Remove the compiled files of these sources.

    Python takes a compiled file for current when the source's size and second of change are the same, so that a second
    save within one second would not be seen.
    """
    for source in sources:
        if source.suffix == ".py":
            cached = Path(importlib.util.cache_from_source(str(source))).parent
            for compiled in cached.glob(f"{source.stem}.*.pyc"):
                compiled.unlink(missing_ok=True)
