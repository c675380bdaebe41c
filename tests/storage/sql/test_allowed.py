"""The lists of what users' statements may use."""

from __future__ import annotations

import apsw
import pytest

from roost.storage.sql.allowed import (
    FORBIDDEN_TABLES,
    FUNCTIONS,
    MODULES,
    PRAGMAS,
    SETTINGS,
    is_hidden,
    may_read,
    pragma_refusal,
    switch,
)

REFERENCE = """
    table_list table_info table_xinfo data_version page_size case_sensitive_like foreign_keys defer_foreign_keys
    ignore_check_constraints legacy_alter_table recursive_triggers reverse_unordered_selects foreign_key_check
    foreign_key_list index_info index_list index_xinfo quick_check optimize
"""
DOCUMENTED = """
    abs changes char coalesce concat format glob hex ifnull iif instr last_insert_rowid length like likelihood
    likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign substr
    total_changes trim typeof unhex unicode unlikely upper zeroblob date time datetime julianday unixepoch strftime
    timediff avg count group_concat string_agg sum total row_number rank dense_rank percent_rank cume_dist ntile lag
    lead first_value last_value nth_value acos acosh asin asinh atan atan2 atanh ceil cos cosh degrees exp floor ln
    log log10 log2 mod pi pow radians sin sinh sqrt tan tanh trunc json json_array json_extract json_group_array
    json_set jsonb jsonb_set -> ->> json_valid json_patch match highlight bm25 snippet rtreecheck
"""


def test_the_pragmas_of_the_platform_are_allowed_and_user_version_too() -> None:
    assert set(REFERENCE.split()) | {"user_version"} == PRAGMAS


def test_every_documented_function_is_allowed() -> None:
    assert set(DOCUMENTED.split()) <= FUNCTIONS


@pytest.mark.parametrize(
    "name", ["load_extension", "sqlite_version", "sqlite_source_id", "fts3_tokenizer", "sqlite_log"]
)
def test_what_reaches_beyond_the_database_is_not(name: str) -> None:
    assert name not in FUNCTIONS


def test_every_module_of_this_sqlite_was_thought_of() -> None:
    modules = {name for (name,) in apsw.Connection("").execute("SELECT name FROM pragma_module_list")}
    refused = {"dbstat", "geopoly", "fts3", "fts4", "fts4aux", "fts3tokenize"}
    seen = {name for name in modules if not name.startswith(("pragma_", "json_"))}
    assert seen <= MODULES | refused
    eponymous = {"dbstat", "fts3tokenize"}
    assert eponymous <= FORBIDDEN_TABLES


@pytest.mark.parametrize("name", ["_roost_kv", "_ROOST_KV", "_Roost_", "_roost_anything"])
def test_hidden_names_are_hidden_in_any_case(name: str) -> None:
    assert is_hidden(name)
    assert not may_read(name)


@pytest.mark.parametrize("name", ["roost_kv", "_roost", "_roos", "x_roost_kv", ""])
def test_other_names_are_not(name: str) -> None:
    assert not is_hidden(name)


def test_a_pragma_can_be_read_as_a_table_when_it_is_allowed() -> None:
    assert may_read("pragma_table_info")
    assert not may_read("pragma_database_list")
    assert may_read("sqlite_master")
    assert not may_read("dbstat")


def test_refusals_say_what_is_wrong() -> None:
    assert pragma_refusal("foreign_keys", None) is None
    assert pragma_refusal("foreign_keys", "Off") is None
    assert pragma_refusal("user_version", "7") is None
    assert "not among those" in (pragma_refusal("journal_mode", "delete") or "")
    assert "takes ON or OFF, got '2'" in (pragma_refusal("foreign_keys", "2") or "")
    assert "may be read, not set" in (pragma_refusal("page_size", "512") or "")
    assert "needs the name" in (pragma_refusal("table_info", None) or "")


def test_words_for_on_and_off() -> None:
    assert [switch(word) for word in ("ON", "yes", "True", "1")] == [1] * 4
    assert [switch(word) for word in ("OFF", "no", "False", "0")] == [0] * 4
    assert switch("maybe") is None
    assert SETTINGS <= PRAGMAS
