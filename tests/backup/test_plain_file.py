"""Files from anywhere become objects' databases, and the other way round; what cannot is refused by name."""

from __future__ import annotations

import datetime
import json
import sqlite3
from pathlib import Path

import pytest

from roost.backup.plain_file import DECODED, make_object, make_plain
from roost.codec import Codec
from roost.errors import InvalidArgumentError, LimitExceededError
from roost.limits import DEFAULTS
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.template import is_born


def make(source: Path, name: str | None = "lobby", size_max: int = DEFAULTS.object_bytes_max) -> Path:
    into = source.with_name("object.sqlite")
    make_object(source, into, name=name, commit=7, size_max=size_max)
    return into


def database(path: Path, *statements: str, page_size: int = 4096) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA page_size={page_size}")
    for statement in statements or ("CREATE TABLE t (a)", "INSERT INTO t VALUES (1), ('two'), (x'03')"):
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_any_page_size_becomes_ours(tmp_path: Path, page_size: int) -> None:
    made = make(database(tmp_path / "source", page_size=page_size))
    raw = made.read_bytes()
    assert int.from_bytes(raw[16:18], "big") == PAGE_BYTES
    assert raw[18:20] == b"\2\2", "objects' files have a write-ahead log"
    assert is_born(raw[:100])
    assert made.stat().st_mode & 0o777 == 0o600
    assert rows(made, "SELECT a FROM t") == [(1,), ("two",), (b"\3",)]
    assert rows(made, "SELECT * FROM _roost_kv") == []
    assert dict(rows(made, "SELECT * FROM _roost_meta")) == {"format": 1, "commit": 7, "name": "lobby"}  # type: ignore[arg-type]


def test_what_the_write_ahead_log_holds_is_imported_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "source")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    before = (tmp_path / "source").read_bytes()
    assert rows(make(tmp_path / "source"), "SELECT a FROM t") == [(1,)]
    assert (tmp_path / "source").read_bytes() == before
    connection.close()


def test_an_export_comes_back_as_it_was(tmp_path: Path) -> None:
    original = make(database(tmp_path / "source"))
    connection = sqlite3.connect(original)
    connection.execute("INSERT INTO _roost_kv VALUES ('a', x'01')")
    connection.execute("INSERT INTO _roost_meta VALUES ('restored', 9)")
    connection.execute("DELETE FROM t WHERE a = 1")  # leaves a hole in the row ids
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    plain = original.rename(tmp_path / "plain.sqlite")
    make_plain(plain, decode=True)
    assert plain.read_bytes()[18:20] == b"\1\1", "any tool opens it, on read-only media too"
    made = make(plain, name=None)
    assert rows(made, "SELECT rowid, a FROM t") == [(2, "two"), (3, b"\3")]
    assert rows(made, "SELECT * FROM _roost_kv") == [("a", b"\1")]
    assert dict(rows(made, "SELECT * FROM _roost_meta")) == {"format": 1, "commit": 7}  # type: ignore[arg-type]
    assert rows(made, f"SELECT * FROM sqlite_schema WHERE name = '{DECODED}'") == []


def test_values_can_be_read_as_json(tmp_path: Path) -> None:
    class Stranger(Exception):
        pass

    made = make(database(tmp_path / "source"))
    codec, app = Codec(), Codec()
    app.register(Stranger, "Stranger")
    values = {
        "number": codec.encode(2**80),
        "when": codec.encode(datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        "nested": codec.encode({"a": [1, (2, 3)], "b": b"\xff"}),
    }
    connection = sqlite3.connect(made)
    connection.executemany("INSERT INTO _roost_kv VALUES (?, ?)", [*values.items(), ("garbage", b"\xc1")])
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    make_plain(made, decode=True)
    found = {key: (text, problem) for key, text, problem in rows(made, f"SELECT * FROM {DECODED}")}
    assert json.loads(str(found["number"][0])) == 2**80
    assert json.loads(str(found["when"][0])) == "2026-01-02T00:00:00Z"
    assert json.loads(str(found["nested"][0])) == {"a": [1, [2, 3]], "b": "/w=="}
    text, problem = found["garbage"]
    assert text is None
    assert problem


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    for content, words in ((b"", "is empty"), (b"hello", "no SQLite database, or it is encrypted")):
        (tmp_path / "source").write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=words):
            make(tmp_path / "source")
    with pytest.raises(InvalidArgumentError, match="cannot be read: No such file"):
        make(tmp_path / "missing")
    with pytest.raises(InvalidArgumentError, match="cannot be read: Is a directory"):
        make(tmp_path)


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    source = database(tmp_path / "source", "CREATE TABLE t (a)", f"INSERT INTO t VALUES ('{'x' * 20000}')")
    raw = bytearray(source.read_bytes())
    raw[4096:8192] = b"\xff" * 4096
    source.write_bytes(raw)
    with pytest.raises(InvalidArgumentError, match="is damaged"):
        make(source)
    source.write_bytes(raw[:5000])
    with pytest.raises(InvalidArgumentError, match="is damaged"):
        make(source)


def test_another_encoding_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    source = database(tmp_path / "source", "PRAGMA encoding='UTF-16le'", "CREATE TABLE t (a)")
    with pytest.raises(InvalidArgumentError, match=r"UTF-16le.*\.dump"):
        make(source)


def test_a_table_with_a_name_of_ours_and_another_shape_is_refused(tmp_path: Path) -> None:
    source = database(tmp_path / "source", "CREATE TABLE _roost_kv (id, name)")
    with pytest.raises(InvalidArgumentError, match="_roost_kv with the columns id, name"):
        make(source)


def test_a_database_that_is_too_large_is_refused(tmp_path: Path) -> None:
    source = database(tmp_path / "source", "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(100000))")
    with pytest.raises(LimitExceededError, match="an object may have 65536") as raised:
        make(source, size_max=65536)
    assert raised.value.actual > 100_000
