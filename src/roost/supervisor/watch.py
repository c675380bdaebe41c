"""Which saved files mean that the app is a new one, and waiting for them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from watchfiles import Change, awatch

from roost.config import FILE, Settings

IGNORED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
"""Directories whose files are nobody's source; those whose name begins with a dot are ignored too."""
DEBOUNCE_MS = 400  # an editor's "save all" is one change
STEP_MS = 50


class Watch:
    """The source of one app: `*.py` below its directory, and pyproject.toml."""

    def __init__(self, settings: Settings) -> None:
        self.directory = settings.app_directory.resolve()
        self._data = Path(settings.data).resolve()
        self._pyproject = Path(settings.pyproject).resolve() if settings.pyproject else self.directory / FILE

    def matters(self, changed: str) -> bool:
        """Whether a change of that file makes the app a new one."""
        path = Path(changed)
        if path == self._pyproject:
            return True
        if path.suffix != ".py" or not path.is_relative_to(self.directory) or path.is_relative_to(self._data):
            return False
        parents = path.relative_to(self.directory).parts[:-1]
        return not any(part in IGNORED or part.startswith(".") for part in parents)

    async def changes(self) -> AsyncGenerator[set[Path]]:
        """Sets of changed files, saves in quick succession together. Ends when the iterator is closed."""
        queue: asyncio.Queue[set[Path]] = asyncio.Queue()
        tasks = [asyncio.create_task(self._watch(self.directory, queue, recursive=True))]
        if self._pyproject.parent != self.directory:
            tasks.append(asyncio.create_task(self._watch(self._pyproject.parent, queue, recursive=False)))
        try:
            while True:
                yield await queue.get()
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch(self, directory: Path, queue: asyncio.Queue[set[Path]], *, recursive: bool) -> None:
        def keep(_: Change, path: str) -> bool:
            return self.matters(path)

        # The directory itself, not the file: editors replace a file, and a watch on the old one would see nothing more.
        async for changed in awatch(
            directory,
            watch_filter=keep,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            recursive=recursive,
            ignore_permission_denied=True,
        ):
            queue.put_nowait({Path(path) for _, path in changed})


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
