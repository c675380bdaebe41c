"""What users' statements may use: functions, PRAGMAs, modules of virtual tables."""

from __future__ import annotations

HIDDEN_PREFIX = "_roost_"
"""What the names of roost's own tables begin with."""

MODULES = frozenset({"fts5", "fts5vocab", "rtree", "rtree_i32"})
"""Of virtual tables that may be created."""

FORBIDDEN_TABLES = frozenset(
    {"dbstat", "fts3tokenize", "carray", "sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used"}
)
"""Tables that exist without being created, and tell of more than the object's own data."""

SETTINGS = frozenset(
    {
        "case_sensitive_like",
        "defer_foreign_keys",
        "foreign_keys",
        "ignore_check_constraints",
        "legacy_alter_table",
        "recursive_triggers",
        "reverse_unordered_selects",
    }
)
"""PRAGMAs that turn something on or off, for this life of the object."""

_NAMING = frozenset({"foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_xinfo"})
_NAMING_OR_NOT = frozenset({"foreign_key_check", "optimize", "quick_check", "table_list", "user_version"})
_BARE = frozenset({"data_version", "page_size"})
PRAGMAS = SETTINGS | _NAMING | _NAMING_OR_NOT | _BARE

_WORDS = {"on": 1, "yes": 1, "true": 1, "1": 1, "off": 0, "no": 0, "false": 0, "0": 0}

_FUNCTIONS = """
    abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like
    likelihood likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign
    soundex substr substring total_changes trim typeof unhex unicode unistr unistr_quote unlikely upper zeroblob

    current_date current_time current_timestamp date datetime julianday strftime time timediff unixepoch

    avg count group_concat median percentile percentile_cont percentile_disc string_agg sum total

    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number

    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc

    -> ->> json json_array json_array_insert json_array_length json_each json_error_position json_extract
    json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_array_insert jsonb_extract
    jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove jsonb_replace jsonb_set

    bm25 fts5_get_locale fts5_insttoken fts5_locale highlight match snippet

    rtreecheck

    sqlite_add_constraint sqlite_drop_column sqlite_drop_constraint sqlite_fail sqlite_find_constraint
    sqlite_rename_column sqlite_rename_quotefix sqlite_rename_table sqlite_rename_test
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""The last group is what ALTER TABLE is made of: SQLite refuses it in any other statement."""


def is_hidden(name: str | None) -> bool:
    """Whether a table, index, view or trigger of that name is roost's own. SQLite compares names without case."""
    return name is not None and name[:7].lower() == HIDDEN_PREFIX


def may_read(table: str) -> bool:
    """Whether a user's statement may read a table."""
    name = table.lower()
    if name.startswith("pragma_"):
        return name[7:] in PRAGMAS
    return not name.startswith(HIDDEN_PREFIX) and name not in FORBIDDEN_TABLES


def pragma_refusal(name: str, argument: str | None) -> str | None:
    """Why a PRAGMA is not allowed; None when it is."""
    if name not in PRAGMAS:
        return f"PRAGMA {name} is not among those that objects may use: {', '.join(sorted(PRAGMAS))}"
    if name in SETTINGS and argument is not None and switch(argument) is None:
        return f"PRAGMA {name} takes ON or OFF, got {argument!r:.40}"
    if name in _BARE and argument is not None:
        return f"PRAGMA {name} may be read, not set"
    if name in _NAMING and argument is None:
        return f"PRAGMA {name} needs the name of a table or an index"
    return None


def switch(argument: str) -> int | None:
    """1 for a word that means on, 0 for off, None for any other."""
    return _WORDS.get(argument.lower())
