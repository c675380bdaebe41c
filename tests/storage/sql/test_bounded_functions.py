"""Functions that do not hold up the host: they give what SQLite's own do, in time that grows with what they get."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roost.errors import SQLError, SQLTooLargeError
from roost.storage.sql import bounded_functions

LETTERS = st.text(alphabet="ab\0é€😀 ", max_size=6)
TEXTS = st.one_of(
    LETTERS,
    LETTERS.map(str.encode),
    st.integers(-20, 20),
    st.floats(allow_nan=False, width=16),
    st.sampled_from([1e300, -0.0, 2**60, 0.1 + 0.2, "\0a", b"\0"]),
    st.none(),
)
BLOBS = st.binary(max_size=3) | st.sampled_from([b"\xa9", b"\xc3", b"\xff" + "é".encode()])
CALLS = ["instr(?1, ?2)", "replace(?1, ?2, ?3)", "trim(?1, ?2)", "ltrim(?1, ?2)", "rtrim(?1, ?2)"]


@pytest.fixture(scope="module")
def own() -> apsw.Connection:
    return apsw.Connection(":memory:")


@pytest.fixture(scope="module")
def bounded() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    bounded_functions.install(connection)
    yield connection
    connection.close()


def answer(connection: apsw.Connection, call: str, values: tuple[object, ...]) -> object:
    query = f"SELECT typeof(x), hex(x), x IS NULL FROM (SELECT {call} AS x, ?1, ?2, ?3)"
    return connection.execute(query, values).fetchall()


@pytest.mark.parametrize("call", CALLS)
@given(values=st.tuples(TEXTS, TEXTS, TEXTS))
@example(values=("a", "", None))
@example(values=("", "", ""))
@example(values=(b"", b"", b""))
def test_they_give_what_sqlites_own_give(
    own: apsw.Connection, bounded: apsw.Connection, call: str, values: tuple[object, ...]
) -> None:
    assert answer(bounded, call, values) == answer(own, call, values)


@given(within=TEXTS | BLOBS, sought=TEXTS | BLOBS)
@example(within="é", sought=b"\xa9")
def test_something_is_found_in_whatever_it_is(
    own: apsw.Connection, bounded: apsw.Connection, within: object, sought: object
) -> None:
    values = (within, sought, None)
    assert answer(bounded, CALLS[0], values) == answer(own, CALLS[0], values)


@pytest.mark.parametrize("call", CALLS[1:])
def test_a_blob_that_is_no_text_is_refused_by_those_that_give_texts(bounded: apsw.Connection, call: str) -> None:
    with pytest.raises(SQLError, match="takes texts, and a blob that it was given is none") as raised:
        answer(bounded, call, (b"a\xff", "a", "b"))
    assert raised.value.code_name == "SQLITE_MISMATCH"


@pytest.mark.parametrize("call", CALLS[2:])
@given(text=st.text(alphabet="abc", max_size=8), more=st.text(alphabet="ab", max_size=2))
def test_many_characters_are_trimmed_like_few(
    own: apsw.Connection, bounded: apsw.Connection, call: str, text: str, more: str
) -> None:
    many = more + "".join(map(chr, range(1000, 1100)))
    assert answer(bounded, call, (text, many, None)) == answer(own, call, (text, many, None))


def test_on_megabytes_they_come_back(bounded: apsw.Connection) -> None:
    """SQLite's own take minutes to hours for each of these."""
    long, half = "a" * 4_000_000, "a" * 2_000_000
    assert bounded.execute("SELECT instr(?, ?)", (long, half + "b")).get == 0
    assert bounded.execute("SELECT instr(?, ?)", (long.encode(), half + "b")).get == 0
    assert bounded.execute("SELECT replace(?, ?, 'x') = ?1", (long, half + "b")).get == 1
    every = "".join(map(chr, range(1, 0xD800)))
    assert bounded.execute("SELECT trim(?, ?)", (every * 20, every)).get == ""
    assert bounded.execute("SELECT trim(?, ?)", (long, "b" * 1_000_000 + "a")).get == ""


def test_a_text_that_would_grow_too_large_is_refused_before_it_is_made(bounded: apsw.Connection) -> None:
    bounded.limit(apsw.SQLITE_LIMIT_LENGTH, 5_000_000)
    assert len(bounded.execute("SELECT replace(?, 'a', 'bb')", ("a" * 2_500_000,)).get) == 5_000_000
    for growing in ("bb", "é€", "b" * 4_000_000):
        with pytest.raises(SQLTooLargeError, match="string or blob too big"):
            bounded.execute("SELECT replace(?, 'a', ?)", ("a" * 2_500_001, growing)).fetchall()


def test_what_is_found_in_blobs_that_are_no_text_is_left_to_sqlite_up_to_a_size(bounded: apsw.Connection) -> None:
    assert bounded.execute("SELECT instr(?, ?)", (b"ab\xff", "b")).get == 2
    with pytest.raises(SQLTooLargeError, match="2000001 and 1000000 bytes, where a blob is no text"):
        bounded.execute("SELECT instr(?, ?)", (b"\xff" + b"a" * 2_000_000, "a" * 1_000_000)).fetchall()


def test_an_index_made_with_sqlites_own_stays_right(tmp_path: object) -> None:
    path = f"{tmp_path}/file"
    plain = apsw.Connection(path)
    plain.execute("CREATE TABLE t (x); CREATE INDEX i ON t (replace(x, 'a', 'b'), instr(x, 'é'), trim(x, ' a'))")
    plain.execute("INSERT INTO t VALUES ('a é'), (12), (1.5), (x'61c3a9'), (NULL), ('')").fetchall()
    plain.close()
    connection = apsw.Connection(path)
    bounded_functions.install(connection)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.execute("INSERT INTO t VALUES ('aé'), (7), (x'6161'), (-0.5)").fetchall()
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    plain = apsw.Connection(path)
    assert plain.pragma("integrity_check") == "ok"
    plain.close()
