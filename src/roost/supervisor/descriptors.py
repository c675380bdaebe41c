"""The number of files and sockets that a process may have open."""

from __future__ import annotations

import contextlib
import resource

PER_DATABASE = 2  # SQLite's, and one to write and sync the file
OTHERS = 200  # the interpreter, links, the journal, and some clients


def raise_descriptor_limit() -> int:
    """Raise it to what the system allows, for this process and those it starts; the limit that now holds.

    Each client's connection takes one, and the usual limit of 1 024 was made for programs that wait with select().
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it then refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def shortage(allowed: int, databases: int) -> str | None:
    """What to tell a person when so many open files are too few for a host with so many open databases."""
    needed = databases * PER_DATABASE + OTHERS
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return None
    return (
        f"the system allows each process {allowed} open files and sockets; "
        f"{databases} open databases may need {needed}: "
        "raise it (`ulimit -n`, in a systemd unit LimitNOFILE), or set the limit `open_databases_max` lower"
    )
