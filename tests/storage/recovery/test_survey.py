"""Reading a journal as a crash left it, without unpacking it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from roost.ids import IdSpace, ObjectId
from roost.limits import Limits
from roost.storage.files import Files
from roost.storage.journal.segment import SegmentReader
from roost.storage.open_files import OpenFiles
from roost.storage.recovery import survey as survey_module
from roost.storage.recovery.survey import Survey
from roost.storage.store import HostStore

MakeStore = Callable[..., HostStore]


@pytest.fixture
def slot(make_store: MakeStore, space: IdSpace, tmp_path: Path) -> Path:
    """Three objects, four commits each, over several segments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFiles, "bring_up_to_date", lambda self, keys: None)
        store = make_store(limits=Limits(journal_segment_bytes=16 * 1024, checkpoint_bytes=1 << 30))
        for turn in range(4):
            for number in range(3):
                storage = store.open(space.from_name(f"room {number}"))
                storage.put("value", bytes([turn]) * 20)
                storage.commit(lambda error: None)
                store.settle()
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    return tmp_path / "copy" / "hosts" / "0"


def keys(space: IdSpace) -> list[bytes]:
    ids: list[ObjectId] = [space.from_name(f"room {number}") for number in range(3)]
    return [object_id.key for object_id in ids]


def test_it_tells_what_the_journal_has_of_each_object(
    slot: Path, space: IdSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(raw: bytes) -> None:
        raise AssertionError("nothing is unpacked to learn what there is")

    monkeypatch.setattr(survey_module, "unpack", never)
    survey = Survey(slot)
    assert (sorted(survey.objects), survey.commits) == (sorted(keys(space)), 12)
    for key, traces in survey.objects.items():
        assert (traces.binding, len(traces.places), traces.lost) == ("ROOM", 4, [])
        assert traces.last == max(last.get(key, 0) for last in survey.needed.values())
    assert {content.key for content in survey.last_contents()} == set(keys(space))
    survey.close()


def test_what_is_settled_is_not_looked_at(slot: Path) -> None:
    survey = Survey(slot)
    paths = [reader.path for reader in survey.readers]
    survey.close()
    for path in paths:
        reader = SegmentReader(path, writable=True)
        reader.settle(Files())
        reader.close()
    survey = Survey(slot)
    assert (survey.objects, survey.commits) == ({}, 0)
    survey.close()


def test_an_empty_slot_has_nothing(tmp_path: Path) -> None:
    survey = Survey(tmp_path)
    assert (survey.objects, survey.commits, survey.readers) == ({}, 0, [])
