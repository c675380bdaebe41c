"""The header Sec-WebSocket-Extensions, read (RFC 6455, section 9.1)."""

from __future__ import annotations

import re

import msgspec

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(_WORD)
_PARAMETER = re.compile(rf'({_WORD})[ \t]*(?:=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?')


class Extension(msgspec.Struct, frozen=True, gc=False):
    """One extension that a client offers."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()
    """Names in the order in which they came, repeated ones too; None for one without a value."""


def read_extensions(lines: list[str]) -> tuple[Extension, ...]:
    """What all lines of the header offer, the preferred first. Raises ValueError when they are not such a list."""
    found: list[Extension] = []
    for line in lines:
        reader = _Reader(line)
        while reader.skip(","):  # an empty element of a list means nothing (RFC 9110, section 5.6.1)
            continue
        while not reader.at_end:
            found.append(reader.extension())
            if not reader.at_end and not reader.skip(","):
                raise ValueError(f"a comma was expected before {reader.rest!r}")
            while reader.skip(","):
                continue
    return tuple(found)


class _Reader:
    """What is left of one line."""

    def __init__(self, line: str) -> None:
        self.rest = line.strip(" \t")

    @property
    def at_end(self) -> bool:
        return not self.rest

    def skip(self, mark: str) -> bool:
        """Whether the mark was next; then it is gone."""
        if not self.rest.startswith(mark):
            return False
        self.rest = self.rest[1:].lstrip(" \t")
        return True

    def extension(self) -> Extension:
        name = self._take(_NAME, "the name of an extension")[0]
        parameters = []
        while self.skip(";"):
            parameters.append(self._parameter())
        return Extension(name, tuple(parameters))

    def _parameter(self) -> tuple[str, str | None]:
        match = self._take(_PARAMETER, "a parameter")
        name, token, quoted = match.groups()
        if quoted is None:
            return name, token
        value = re.sub(r"\\(.)", r"\1", quoted)
        if not _NAME.fullmatch(value):
            raise ValueError(f"the value of {name} must be a token also without its quotes")
        return name, value

    def _take(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self.rest)
        if match is None:
            raise ValueError(f"{what} was expected at {self.rest!r}")
        self.rest = self.rest[match.end() :].lstrip(" \t")
        return match
