"""What is known of a statement before it runs, kept so that it is worked out once."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.storage.sql.schema import Touched

Row = tuple[Any, ...]

_TEXT_MAX = 1024 * 1024  # characters of the statements whose plans are kept
_PLANS_MAX = 256


class Plan(msgspec.Struct, eq=False):
    """One statement, compiled."""

    text: str
    """The statement alone, without what follows it."""
    rest: str
    """What follows it; empty when that is nothing but blanks and comments."""
    count: int
    """How many parameters it has."""
    names: tuple[str | None, ...]
    """Their names, None for those without."""
    columns: tuple[str, ...]
    writes: bool
    """Whether it could change the database, so that the turn's transaction must be open."""
    reads: bool
    """Whether it reads any table."""
    counts_rows: bool = False
    """Whether the rows of its result are rows that were read."""
    scans: bool = False
    """Whether it walks through a table or an index from end to end, or may do so."""
    examined: bool = False
    """Whether that was found out. Not at the first run: many statements have no second."""
    uses: int = 0
    """How often it ran before it was examined."""
    changes_schema: bool = False
    setting: str | None = None
    """The PRAGMA that it is, when it turns something on or off."""
    is_pragma: bool = False
    touched: dict[str, Touched] = msgspec.field(default_factory=dict)
    """The tables whose rows it changes, by itself or by triggers."""
    weight: int | None = None
    """Rows written for each row that it changes; None when they have to be counted one by one."""
    typed: dict[type, Any] = msgspec.field(default_factory=dict)
    """By row type: what makes instances of it, once it was asked for."""
    dicts: Any = None
    """Makes dicts of its rows, once it has any."""
    careful: bool = True
    """Whether something has to be done around it, besides counting what it scans."""
    plain: bool = False
    """Whether nothing has to be done around it but to run it."""


class Plans:
    """The plans of one connection by the text they were made of, the latest within a bound."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._characters = 0
        self.get = self._plans.get
        """The plan for a text, or None. A bound method of the dict: it is asked for every statement."""

    def __len__(self) -> int:
        return len(self._plans)

    def keep(self, query: str, plan: Plan) -> None:
        """Remember a plan, and forget the eldest beyond the bounds."""
        self._characters += 0 if query in self._plans else len(query)
        self._plans[query] = plan
        while len(self._plans) > 1 and (len(self._plans) > _PLANS_MAX or self._characters > _TEXT_MAX):
            eldest = next(iter(self._plans))
            del self._plans[eldest]
            self._characters -= len(eldest)

    def forget(self) -> None:
        """The schema is another: none of them may be right any more."""
        self._plans.clear()
        self._characters = 0
