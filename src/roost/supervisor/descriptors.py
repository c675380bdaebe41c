"""The number of files and sockets that a process may have open."""

from __future__ import annotations

import contextlib
import resource


def raise_descriptor_limit() -> int:
    """Raise it to what the system allows, for this process and those it starts; the limit that now holds.

    Each client's connection takes one, and the usual limit of 1 024 was made for programs that wait with select().
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it then refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
