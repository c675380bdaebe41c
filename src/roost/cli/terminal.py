"""What the supervisor tells, as lines on a terminal or in a log: the address on standard output, all else beside it."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text
from rich.traceback import Frame, Stack, Trace, Traceback, _SyntaxError

from roost.supervisor.messages import Failed, Raised

_WIDE = 1_000


def tables(*, folded: bool = True) -> Console:
    """Where tables are printed. They are as wide as they need to be where nobody looks, so that the next program finds
    whole words; on a terminal their words are folded, unless they are there to be copied."""
    return Console(highlight=False, width=None if folded and sys.stdout.isatty() else _WIDE)


def counted(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Terminal:
    """A reporter that prints. Colours are left out where nobody would see them."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    def serving(self, app: str, url: str) -> None:
        sys.stdout.write(f"roost: serving {app} on {url}\n")
        sys.stdout.flush()  # whoever started us waits for this line

    def note(self, text: str) -> None:
        self._line(text, "dim")

    def warn(self, text: str) -> None:
        self._line(text, "yellow")

    def failed(self, failed: Failed, then: str) -> None:
        self.error(failed)
        self.warn(then)

    def error(self, failed: Failed) -> None:
        """What failed, with the traceback of user code where there is one."""
        if failed.raised is not None:
            self._console.print(traceback_of(failed.raised))
        self.error_line(failed.message)

    def error_line(self, text: str) -> None:
        self._line(text, "bold red")

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text.assemble(("roost: ", "bold"), (text, style)), soft_wrap=True)


def traceback_of(raised: Raised) -> Traceback:
    """As rich shows an exception, with the source around each frame."""
    stacks = []
    current: Raised | None = raised
    while current is not None:
        stacks.append(_stack(current, is_cause=current is not raised))
        current = current.cause
    return Traceback(Trace(stacks), extra_lines=2, word_wrap=True)


def _stack(raised: Raised, *, is_cause: bool) -> Stack:
    frames = [Frame(filename=frame.file, lineno=frame.line, name=frame.name) for frame in raised.frames]
    syntax = None
    if raised.syntax is not None:
        file, line, column, text = raised.syntax
        syntax = _SyntaxError(offset=column, filename=file, line=text.rstrip(), lineno=line, msg=raised.message)
    return Stack(exc_type=raised.kind, exc_value=raised.message, syntax_error=syntax, is_cause=is_cause, frames=frames)
