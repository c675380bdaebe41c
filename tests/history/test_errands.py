"""Errands: what children are told, what they answer, and what becomes of them."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from roost.errors import HistoryError, InvalidArgumentError, StorageCorruptError, StorageError, StorageFullError
from roost.history import errands as errands_module
from roost.history.errands import (
    Errand,
    Errands,
    Fold,
    Folded,
    Found,
    Lookup,
    Refused,
    Rewind,
    decode_errand,
    refusal,
)
from roost.history.trimming import Retention

LOOKUP = Lookup("/nowhere", "ROOM", "ab" * 32, 5)
ALL: list[Errand] = [
    LOOKUP,
    Rewind("/nowhere", "ROOM", "ab" * 32, 7, 3),
    Fold("/nowhere", ["a", "b"], Retention(1.5, 7), 9),
]


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> Errands:
    monkeypatch.setattr(errands_module, "COMMAND", (sys.executable, "-c", code))
    return Errands()


def answering(outcome: msgspec.Struct) -> str:
    return f"import sys; sys.stdout.buffer.write({msgspec.json.encode(outcome)!r})"


@pytest.mark.parametrize("errand", ALL)
def test_an_errand_comes_to_the_child_as_it_was_given(errand: Errand) -> None:
    assert decode_errand(msgspec.json.encode(errand).decode()) == errand


@pytest.mark.parametrize("text", ["", "{}", '{"type": "dance"}', "fold"])
def test_what_is_no_errand_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is no errand"):
        decode_errand(text)


def test_the_outcome_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert child(monkeypatch, answering(Found(7))).run(LOOKUP) == Found(7)


@pytest.mark.parametrize(
    "error",
    [StorageError("a"), StorageFullError("b"), StorageCorruptError("c"), HistoryError("d", earliest_ms=4)],
)
def test_what_the_child_refuses_is_raised_as_what_it_is(monkeypatch: pytest.MonkeyPatch, error: StorageError) -> None:
    with pytest.raises(type(error)) as caught:
        child(monkeypatch, answering(refusal(error))).run(LOOKUP)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert getattr(caught.value, "earliest_ms", None) == getattr(error, "earliest_ms", None)


def test_a_kind_that_is_not_known_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="mine"):
        child(monkeypatch, answering(Refused("OddError", "mine"))).run(LOOKUP)


def test_a_child_that_is_killed_is_told_by_its_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="ended with signal 9"):
        child(monkeypatch, "import os; os.kill(os.getpid(), 9)").run(LOOKUP)


def test_a_child_that_fails_is_told_by_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="ended with status 1: ZeroDivisionError"):
        child(monkeypatch, "1/0").run(LOOKUP)


def test_a_child_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands_module, "COMMAND", ("/nowhere/python",))
    with pytest.raises(StorageError, match="no process can be started"):
        Errands().run(LOOKUP)


def test_closing_stops_the_child_and_no_other_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fifo = tmp_path / "running"
    os.mkfifo(fifo)
    errands = child(monkeypatch, f"open({str(fifo)!r}, 'w').close(); import time; time.sleep(600)")
    failures: list[StorageError] = []

    def run() -> None:
        try:
            errands.run(LOOKUP)
        except StorageError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    fifo.open().close()
    errands.close()
    thread.join()
    assert "signal 9" in str(failures[0])
    with pytest.raises(StorageError, match="was closed"):
        errands.run(LOOKUP)


def test_the_child_finds_this_package_and_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "roost.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    errand = Fold(str(tmp_path), [], Retention(0, 0), 0)
    assert Errands().run(errand) == Folded(0)
