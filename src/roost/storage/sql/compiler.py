"""From the text of a statement to its plan."""

from __future__ import annotations

import re
from typing import Any

import apsw

from roost.errors import InvalidArgumentError, SQLForbiddenError
from roost.storage.sql.allowed import SETTINGS
from roost.storage.sql.authorizer import Authorizer, Seen
from roost.storage.sql.plan import Plan
from roost.storage.sql.pragma_settings import PragmaSettings
from roost.storage.sql.schema import Schema

USERS = int(apsw.SQLITE_PREPARE_PERSISTENT)
"""The flags with which users' statements are compiled. Ours have none: see `guard`."""

_NOTHING = r"(?>[ \t\n\f\r;]+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*+"  # atomic: what is hostile does not backtrack
_BLANK = re.compile(_NOTHING, re.DOTALL)
_FIRST_WORD = re.compile(
    f"{_NOTHING}(?:EXPLAIN\\b{_NOTHING}(?:QUERY\\b{_NOTHING}PLAN\\b{_NOTHING})?)?([a-z]*)", re.DOTALL | re.IGNORECASE
)
_NO_VALUES: Any = vars(apsw)["_null_bindings"]  # what apsw.ext compiles with; importing that takes 0.2 s


class Compiler:
    """Compiles users' statements without running them. Raises apsw.Error as it comes."""

    def __init__(
        self, connection: apsw.Connection, authorizer: Authorizer, schema: Schema, settings: PragmaSettings
    ) -> None:
        self._connection = connection
        self._authorizer = authorizer
        self._schema = schema
        self._settings = settings

    def plan(self, query: str) -> Plan | None:
        """The plan of the first statement of a query; None when there is none."""
        word = _FIRST_WORD.match(query)
        verb = "" if word is None else word[1].upper()
        if verb == "PRAGMA":
            self._settings.remember()  # some take effect when they are compiled
        if verb == "VACUUM":
            raise SQLForbiddenError(
                "VACUUM is not allowed: the space of what is deleted is used again: SQLITE_AUTH", "SQLITE_AUTH"
            )
        plan, was_judged = self._compiled(query, can_cache=verb != "PRAGMA")
        if not was_judged:  # it was found among those compiled before, which tells nothing and may be of another schema
            plan, _ = self._compiled(query, can_cache=False)
        return plan

    def _compiled(self, query: str, *, can_cache: bool) -> tuple[Plan | None, bool]:
        """The plan, and whether the authorizer was asked; with `can_cache` what was compiled is kept, to be run."""
        seen = self._authorizer.seen = Seen()
        found: list[Plan] = []

        def look(cursor: apsw.Cursor, text: str, _values: object) -> bool:
            if cursor.has_vdbe:
                found.append(_plan(cursor, query, text, seen))
            return False

        cursor = self._connection.cursor()
        cursor.exec_trace = look
        try:
            cursor.execute(query, _NO_VALUES, can_cache=can_cache, prepare_flags=USERS)
        except apsw.ExecTraceAbort:
            pass  # what `look` asked for
        except (UnicodeEncodeError, ValueError) as error:
            raise InvalidArgumentError(f"the query is no text that SQLite could read: {error}") from error
        finally:
            if seen.touched:
                self._authorizer.seen = Seen()  # what is asked from now on is about other statements
        return found[0] if found else None, seen.asked

    def complete(self, plan: Plan) -> None:
        """Add what the schema tells; not on behalf of the user."""
        plan.scans = plan.reads and not plan.changes_schema
        if not plan.changes_schema and len(plan.touched) == 1:
            ((table, change),) = plan.touched.items()
            plan.weight = self._schema.weight(table, change)
        plan.counts_rows = plan.reads and not plan.writes
        is_counted = not plan.touched or plan.weight is not None
        plan.careful = plan.changes_schema or plan.is_pragma or not is_counted
        plan.plain = not plan.scans and not plan.careful

    def examine(self, plan: Plan) -> None:
        """Find out whether it scans; not on behalf of the user."""
        plan.examined = True
        plan.scans = self._scans(plan)
        plan.plain = not plan.scans and not plan.careful

    def _scans(self, plan: Plan) -> bool:
        """Whether EXPLAIN QUERY PLAN names a scan. SQLite counts the steps of those, and tells at the end."""
        cursor = self._connection.cursor()
        steps = cursor.execute(plan.text, (None,) * plan.count, can_cache=False, prepare_flags=USERS, explain=2)
        return any(detail.startswith("SCAN ") and "CONSTANT ROW" not in detail for _, _, _, detail in steps)


def _plan(cursor: apsw.Cursor, query: str, text: str, seen: Seen) -> Plan:
    rest = query[len(text) :]
    explained = bool(cursor.is_explain)
    pragma, argument = seen.pragma or (None, None)
    count = cursor.bindings_count
    return Plan(
        text=text,
        rest="" if not rest or _BLANK.fullmatch(rest) else rest,
        count=count,
        names=tuple(cursor.bindings_names) if count else (),
        columns=tuple([name for name, _ in cursor.get_description()]),
        writes=not cursor.is_readonly and not explained,
        reads=seen.reads and not explained,
        changes_schema=seen.changes_schema and not explained,
        setting=pragma if pragma in SETTINGS and argument is not None and not explained else None,
        is_pragma=pragma is not None,
        touched=seen.touched if seen.touched and not explained else {},  # an empty one would still be added to
    )
