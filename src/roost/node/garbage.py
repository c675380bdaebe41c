"""How often the processes look for garbage in cycles."""

from __future__ import annotations

import gc

THRESHOLDS = (20_000, 20, 20)
"""Python's own, 700 and ten, were made for small programs. Each commit and each message makes some containers that live
until the disk or the client has answered, so with those a busy host looked through all that it has many times a minute:
with a thousand objects that took a twentieth of its time, in pauses of a tenth of a second."""


def look_rarely() -> None:
    """To be called before the app is imported, so that the app has the last word."""
    gc.set_threshold(*THRESHOLDS)


def keep_what_is_there() -> None:
    """Never look through what was made so far: modules and classes, which stay."""
    gc.collect()
    gc.freeze()
