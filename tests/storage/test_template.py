"""The empty object."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from roost.storage.template import Template, is_born, stores_nothing


def test_it_is_a_whole_database_in_wal_mode_with_the_hidden_tables(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    path.write_bytes(Template().image)
    connection = apsw.Connection(str(path))
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("integrity_check") == "ok"
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"_roost_kv", "_roost_meta"}
    connection.close()


@pytest.mark.parametrize(
    ("stored", "nothing"),
    [
        ("INSERT INTO _roost_meta VALUES ('name', 'lobby')", True),
        ("CREATE TABLE _roost_alarms (due); CREATE INDEX _roost_i ON _roost_alarms (due)", True),
        ("CREATE TABLE _roost_alarms (due); INSERT INTO _roost_alarms VALUES (1)", False),
        ("INSERT INTO _roost_kv VALUES ('a', x'01')", False),
        ("CREATE TABLE t (x)", False),
    ],
)
def test_what_is_kept_about_an_object_is_nothing_that_it_stored(tmp_path: Path, stored: str, nothing: bool) -> None:
    path = tmp_path / "object.sqlite"
    path.write_bytes(Template().image)
    connection = apsw.Connection(str(path))
    assert stores_nothing(connection)
    connection.execute(stored).fetchall()
    assert stores_nothing(connection) is nothing
    connection.close()


def test_its_pages_are_numbered_from_one() -> None:
    template = Template()
    pages = dict(template.pages())
    assert list(pages) == [1, 2, 3]
    assert b"".join(pages.values()) == template.image


def test_a_new_file_and_what_a_power_failure_left_of_one_are_not_born() -> None:
    image = Template().image
    assert not is_born(image[:100])
    assert not is_born(bytes(100))
    assert not is_born(b"")


def test_a_new_file_is_known_by_what_it_holds_however_it_was_torn() -> None:
    template = Template()
    assert template.may_be_unborn(template.image)
    assert template.may_be_unborn(b"")
    assert template.may_be_unborn(template.image[:700])
    assert template.may_be_unborn(template.image[:512] + bytes(1024) + template.image[1536:])
    assert not template.may_be_unborn(template.image + b"x")
    assert not template.may_be_unborn(template.image[:600] + b"x" + template.image[601:])
