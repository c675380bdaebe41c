"""PRAGMAs that are on or off for one life."""

from __future__ import annotations

import apsw
import pytest

from roost.storage.sql.pragma_settings import PragmaSettings


@pytest.fixture
def connection() -> apsw.Connection:
    connection = apsw.Connection("")
    connection.pragma("foreign_keys", 1)
    return connection


def likes(connection: apsw.Connection) -> object:
    return connection.execute("SELECT 'A' LIKE 'a'").get


def test_what_was_changed_is_set_back(connection: apsw.Connection) -> None:
    settings = PragmaSettings(connection)
    settings.remember()
    for name in ("foreign_keys", "case_sensitive_like", "reverse_unordered_selects"):
        connection.pragma(name, 1 - settings.read(name))
    settings.remember()  # what is remembered is how it was at first
    settings.restore()
    assert (settings.read("foreign_keys"), settings.read("reverse_unordered_selects")) == (1, 0)
    assert likes(connection) == 1


def test_nothing_is_set_that_may_not_have_changed(connection: apsw.Connection) -> None:
    settings = PragmaSettings(connection)
    connection.pragma("foreign_keys", 0)
    settings.restore()
    assert settings.read("foreign_keys") == 0


def test_a_life_gets_its_own_again(connection: apsw.Connection) -> None:
    settings = PragmaSettings(connection)
    settings.apply({"foreign_keys": 0, "case_sensitive_like": 1})
    assert (settings.read("foreign_keys"), likes(connection)) == (0, 0)
    settings.restore()
    assert (settings.read("foreign_keys"), likes(connection)) == (1, 1)
