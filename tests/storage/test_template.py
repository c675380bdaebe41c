"""The empty object."""

from __future__ import annotations

from pathlib import Path

import apsw

from roost.storage.template import Template, is_born


def test_it_is_a_whole_database_in_wal_mode_with_the_hidden_tables(tmp_path: Path) -> None:
    path = tmp_path / "object.sqlite"
    path.write_bytes(Template().image)
    connection = apsw.Connection(str(path))
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("integrity_check") == "ok"
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {"_roost_kv", "_roost_meta"}
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
