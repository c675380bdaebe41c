"""Header fields of a request or response (RFC 9110, section 5): names without case, several lines of one name, in
order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, overload

from roost.errors import InvalidArgumentError, WrongTypeError

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile(r"[\r\n\0]|[^\x00-\xff]")

HeadersLike: TypeAlias = "Headers | Mapping[str, str] | Iterable[tuple[str, str]]"
"""What headers can be made of: a mapping, pairs, or other headers."""


class Headers:
    """Header lines in their order; names are compared without regard to case.

    `headers["Accept"]` and `get` give the value, several lines of that name joined with ", " (RFC 9110, section 5.3);
    `get_all` gives them one by one, which `Set-Cookie` needs. Iteration and `len` go by name, `items()` by line.
    """

    __slots__ = ("_lines",)

    def __init__(self, source: HeadersLike | None = None) -> None:
        self._lines: list[tuple[str, str, str]] = []
        if source is not None:
            self._fill(source)

    @classmethod
    def trusted(cls, lines: Iterable[tuple[str, str]]) -> Headers:
        """From lines that were checked already, such as those of the link."""
        headers = cls()
        headers._lines = [(name.lower(), name, value) for name, value in lines]
        return headers

    def _fill(self, source: HeadersLike) -> None:
        if isinstance(source, Headers):
            self._lines = source._lines.copy()
            return
        for line in _lines_of(source):
            if not isinstance(line, tuple | list) or len(line) != 2:
                raise WrongTypeError(f"each header must be a pair of name and value, got {line!r}")
            self.append(line[0], line[1])

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of that name, several joined with ", "; `default` where there is none."""
        key = name.lower()
        values = [value for known, _, value in self._lines if known == key]
        if len(values) == 1:
            return values[0]
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        """The value of every line of that name, in order; empty where there is none."""
        key = name.lower()
        return [value for known, _, value in self._lines if known == key]

    def set(self, name: str, value: str) -> None:
        """Make this the only line of that name, at the place of the first one it replaces, or at the end."""
        line = _checked(name, value)
        at = next((at for at, known in enumerate(self._lines) if known[0] == line[0]), None)
        if at is None:
            self._lines.append(line)
            return
        self._lines[at] = line
        self._lines[at + 1 :] = [known for known in self._lines[at + 1 :] if known[0] != line[0]]

    def set_default(self, name: str, value: str) -> None:
        """Add the line unless there is one of that name."""
        if name not in self:
            self.append(name, value)

    def append(self, name: str, value: str) -> None:
        """Add a line at the end, beside those of the same name.

        Raises WrongTypeError when one of the two is no str, InvalidArgumentError when the name is no token or the value
        holds a line break, a NUL or a character above U+00FF.
        """
        self._lines.append(_checked(name, value))

    def delete(self, name: str) -> None:
        """Remove every line of that name; none is no error."""
        key = name.lower()
        self._lines = [line for line in self._lines if line[0] != key]

    def items(self) -> list[tuple[str, str]]:
        """Every line as (name, value), names as they were written."""
        return [(name, value) for _, name, value in self._lines]

    def keys(self) -> list[str]:
        """Every name once, as its first line writes it."""
        return list(self)

    def copy(self) -> Headers:
        return Headers(self)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        key = name.lower()
        return any(known == key for known, _, _ in self._lines)

    def __iter__(self) -> Iterator[str]:
        first: dict[str, str] = {}
        for key, name, _ in self._lines:
            first.setdefault(key, name)
        return iter(first.values())

    def __len__(self) -> int:
        return len({line[0] for line in self._lines})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._by_name() == other._by_name()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"

    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for key, _, value in self._lines:
            by_name.setdefault(key, []).append(value)
        return by_name


def _lines_of(source: object) -> Iterable[object]:
    if isinstance(source, Mapping):
        return source.items()
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        return source
    raise WrongTypeError(f"headers must be a mapping or an iterable of pairs, got {type(source).__name__}")


def is_token(text: str) -> bool:
    """Whether `text` is a token of RFC 9110, section 5.6.2: what header names and methods are made of."""
    return _TOKEN.fullmatch(text) is not None


def _checked(name: str, value: str) -> tuple[str, str, str]:
    if not isinstance(name, str):
        raise WrongTypeError(f"the name of a header must be a str, got {type(name).__name__}")
    if not isinstance(value, str):
        raise WrongTypeError(f"the value of the header {name!r} must be a str, got {type(value).__name__}")
    if not is_token(name):
        raise InvalidArgumentError(
            f"the name of a header must be letters, digits and !#$%&'*+-.^_`|~, got {name[:80]!r}"
        )
    wrong = _NOT_IN_VALUE.search(value)
    if wrong:
        raise InvalidArgumentError(
            f"the value of the header {name!r} holds {wrong.group()!r} at {wrong.start()}; "
            "line breaks, NUL and characters above U+00FF cannot be sent"
        )
    return name.lower(), name, value.strip(" \t")
