"""How far something is, on one line of the terminal; nowhere, where nobody looks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console


@contextlib.contextmanager
def progress(what: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Within the block, what the function is told stands on the line."""
    shown = console or Console(stderr=True, highlight=False)
    if not shown.is_terminal:
        yield lambda text: None
        return
    with shown.status(what) as status:
        yield lambda text: status.update(f"{what}: {text}")
