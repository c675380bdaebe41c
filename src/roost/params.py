"""Names and values as a query string or a form writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl


class Params(Mapping[str, str]):
    """Names with the first value of each; `get_all` has the others. Percent-encoded UTF-8 and `+` are decoded."""

    __slots__ = ("_values", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        """As it was written."""
        self._values: dict[str, list[str]] = {}
        if "%" in text or "+" in text:
            pairs = parse_qsl(text, keep_blank_values=True)
        else:
            pairs = [(part.partition("=")[0], part.partition("=")[2]) for part in text.split("&") if part]
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get_all(self, name: str) -> list[str]:
        """Every value of that name in order; empty where there is none."""
        return list(self._values.get(name, ()))

    def __repr__(self) -> str:
        return f"Params({self.text!r})"
