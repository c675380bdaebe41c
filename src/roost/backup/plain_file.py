# An object's database as a plain SQLite file, and a plain SQLite file as an object's database.
#
#  (1) A plain file is in rollback mode, so that every tool opens it without leaving files beside it. It is complete:
#      the object's own tables, and the hidden ones (`_roost_kv`, `_roost_meta`, the alarms), so that importing it loses
#      nothing.
#  (2) What is imported has pages of 4096 bytes, whatever the file's own have, and what its write-ahead log holds. A
#      file that is damaged, encrypted, in another encoding or too large is refused before anything is touched.
#  (3) The file that is read is never changed.
"""Plain SQLite files: made of objects, and made into objects."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from roost.codec import Codec
from roost.errors import InvalidArgumentError, LimitExceededError, RoostError
from roost.json_text import encode_json
from roost.storage.journal.record import PAGE_BYTES
from roost.storage.template import BORN, HIDDEN_TABLES, SCHEMA_VERSION

DECODED = "_roost_kv_json"
"""The table that `--decode` adds: the stored values as JSON, where they can be."""
_MAGIC = b"SQLite format 3\0"
_VERSIONS_AT = 18
_ROLLBACK, _WAL = 1, 2
_COLUMNS = {"_roost_kv": ["key", "value"], "_roost_meta": ["key", "value"]}


def make_plain(path: Path, *, decode: bool = False) -> None:
    """Turn a copy of an object's database, in place, into a plain file; `decode` adds its values as JSON."""
    _set_mode(path, _ROLLBACK)
    if decode:
        with contextlib.closing(apsw.Connection(str(path))) as connection, connection:
            _add_decoded(connection)


def _add_decoded(connection: apsw.Connection) -> None:
    connection.execute(f"CREATE TABLE {DECODED} (key TEXT PRIMARY KEY, json TEXT, problem TEXT) WITHOUT ROWID")
    codec = Codec()
    pairs = connection.cursor().execute("SELECT key, value FROM _roost_kv")
    rows = ((key, *_as_json(codec, bytes(value))) for key, value in pairs)
    connection.cursor().executemany(f"INSERT INTO {DECODED} VALUES (?, ?, ?)", rows)  # noqa: S608 - a constant


def _as_json(codec: Codec, value: bytes) -> tuple[str | None, str | None]:
    """The JSON of a stored value; or what keeps it from being JSON, such as a class that only the app knows."""
    try:
        return encode_json(codec.decode(value)).decode(), None
    except RoostError as error:
        return None, str(error)


def make_object(source: Path, into: Path, *, name: str | None, commit: int, size_max: int) -> None:
    """Write a database of an object to `into`, which is not there yet, from any SQLite file.

    `commit` is the number that the object's further commits are counted from. Raises InvalidArgumentError when the file
    is no SQLite database, damaged, or holds what an object cannot; LimitExceededError when it is too large.
    """
    check_magic(source)
    try:
        with contextlib.closing(_opened(source)) as connection:
            _check(source, connection)
            _copy(connection, into)
        with contextlib.closing(apsw.Connection(str(into))) as connection:
            _add_hidden_tables(connection, name, commit)
            _check_size(source, connection, size_max)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise InvalidArgumentError(f"{source} is damaged: {error}; nothing was imported") from error
    except apsw.Error as error:
        raise InvalidArgumentError(f"{source} cannot be imported: {error}") from error
    os.chmod(into, 0o600)
    _set_mode(into, _WAL)


def _opened(source: Path) -> apsw.Connection:
    return apsw.Connection(
        f"{source.absolute().as_uri()}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )


def _copy(connection: apsw.Connection, into: Path) -> None:
    if connection.pragma("page_size") != PAGE_BYTES:
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}").fetchall()
        connection.execute("VACUUM INTO ?", (str(into),))
        return
    with contextlib.closing(apsw.Connection(str(into))) as copy, copy.backup("main", connection, "main") as backup:
        while not backup.done:
            backup.step(1000)


def check_magic(source: Path) -> None:
    try:
        with source.open("rb") as file:
            first = file.read(len(_MAGIC))
    except OSError as error:
        raise InvalidArgumentError(f"{source} cannot be read: {error.strerror}") from error
    if not first:
        raise InvalidArgumentError(f"{source} is empty; expected an SQLite database")
    if first != _MAGIC:
        raise InvalidArgumentError(
            f"{source} is no SQLite database, or it is encrypted: an SQLite file begins with {_MAGIC[:-1].decode()!r}."
            " Decrypt it with the tool that encrypted it first"
        )


def _check(source: Path, connection: apsw.Connection) -> None:
    trouble = connection.execute("PRAGMA integrity_check(1)").get
    if trouble != "ok":
        raise InvalidArgumentError(f"{source} is damaged: {trouble}; nothing was imported")
    encoding = connection.pragma("encoding")
    if encoding != "UTF-8":
        raise InvalidArgumentError(
            f"{source} holds its text in {encoding}, objects hold theirs in UTF-8; convert it with"
            " `sqlite3 OLD .dump | sqlite3 NEW`"
        )
    for table, columns in _COLUMNS.items():
        found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if found not in ([], columns):
            raise InvalidArgumentError(
                f"{source} has a table {table} with the columns {', '.join(found)}; that name is roost's own, and its"
                f" table has {', '.join(columns)}"
            )


def _add_hidden_tables(connection: apsw.Connection, name: str | None, commit: int) -> None:
    with connection:
        connection.execute(f"DROP TABLE IF EXISTS {DECODED}")
        for statement in _statements(HIDDEN_TABLES):
            connection.execute(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
        meta: dict[str, int | str] = {"format": SCHEMA_VERSION, "commit": commit}
        if name is not None:
            meta["name"] = name
        else:
            connection.execute("DELETE FROM _roost_meta WHERE key = 'name'")
        connection.execute("DELETE FROM _roost_meta WHERE key = 'restored'")
        for pair in meta.items():
            connection.execute("INSERT OR REPLACE INTO _roost_meta VALUES (?, ?)", pair)
        connection.execute(f"PRAGMA application_id={BORN}")


def _statements(script: str) -> Iterator[str]:
    for statement in script.split(";"):
        if statement.strip():
            yield statement.strip()


def _check_size(source: Path, connection: apsw.Connection, size_max: int) -> None:
    size = connection.pragma("page_count") * PAGE_BYTES
    if size > size_max:
        raise LimitExceededError(
            f"{source} makes a database of {size} bytes, and an object may have {size_max} (limits.object_bytes_max)",
            limit=size_max,
            actual=size,
        )


def _set_mode(path: Path, mode: int) -> None:
    """Whether the file is opened with a write-ahead log; a file at rest is the same but for this."""
    with path.open("r+b") as file:
        file.seek(_VERSIONS_AT)
        file.write(bytes([mode, mode]))
        file.flush()
        os.fsync(file.fileno())
