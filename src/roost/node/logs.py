"""Where a child process logs to: standard error, with the name of the process on every line."""

from __future__ import annotations

import logging
import sys


def log_to_stderr(process: str, level: str) -> None:
    """Configure the standard logging of this process; an app may configure it anew when it is imported."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format=f"%(asctime)s %(levelname)s {process}: %(name)s: %(message)s",
    )
    for library in ("asyncio", "httpx"):  # a line for every request of `roost.fetch`, else
        logging.getLogger(library).setLevel(logging.WARNING)
