"""An exception as the supervisor shows it: the frames of user code, and nobody else's."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from roost.supervisor.messages import Frame, Raised

_OWN = str(Path(__file__).resolve().parent.parent) + os.sep
_DEPTH_MAX = 10  # of causes


def raised_from(error: BaseException, depth: int = 0) -> Raised:
    """The exception and what caused it, as plain values."""
    frames = [
        Frame(frame.filename, frame.lineno or 0, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen ", _OWN))
    ]
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return Raised(
        type(error).__name__,
        str(error),
        frames,
        _syntax(error) if isinstance(error, SyntaxError) else None,
        raised_from(before, depth + 1) if before is not None and depth < _DEPTH_MAX else None,
    )


def _syntax(error: SyntaxError) -> tuple[str, int, int, str]:
    return error.filename or "?", error.lineno or 0, error.offset or 0, error.text or ""


def as_text(raised: Raised) -> str:
    """As Python prints it, last call last."""
    lines = [as_text(raised.cause), "", "which led to", ""] if raised.cause else []
    lines += [f'  File "{frame.file}", line {frame.line}, in {frame.name}' for frame in raised.frames]
    if raised.syntax:
        file, line, _, text = raised.syntax
        lines += [f'  File "{file}", line {line}', f"    {text.strip()}"]
    return "\n".join([*lines, f"{raised.kind}: {raised.message}"])
