from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from roost.observer import Observer


def collected(observer: Observer, name: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    observer.subscribe(name, lambda happening, facts: told.append((happening, facts)))
    return told


def test_listeners_hear_their_name_or_everything() -> None:
    observer = Observer()
    some, everything = collected(observer, "a.b"), collected(observer)
    observer.notify("a.b", x=1)
    observer.notify("c", name="a fact may be called name")
    assert some == [("a.b", {"x": 1})]
    assert everything == [("a.b", {"x": 1}), ("c", {"name": "a fact may be called name"})]


def test_whoever_unsubscribed_hears_nothing() -> None:
    observer = Observer()
    told: list[str] = []
    stop = observer.subscribe("a", lambda name, _: told.append(name))
    assert observer.listening
    stop()
    stop()
    observer.notify("a")
    assert told == []
    assert not observer.listening


def test_a_listener_may_leave_while_it_is_told() -> None:
    observer = Observer()
    told: list[str] = []

    def once(_: str, __: dict[str, Any]) -> None:
        told.append("once")
        stop()

    stop = observer.subscribe("a", once)
    observer.subscribe("a", lambda *_: told.append("always"))
    observer.notify("a")
    observer.notify("a")
    assert told == ["once", "always", "always"]


def test_a_listener_that_fails_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()

    def broken(_: str, __: dict[str, Any]) -> None:
        raise ValueError("broken listener")

    observer.subscribe("a", broken)
    told = collected(observer, "a")
    observer.notify("a")
    assert told == [("a", {})]
    assert [(record.name, record.message) for record in caplog.records] == [
        ("roost.observer", "a listener for a failed")
    ]
    assert "broken listener" in caplog.text


def test_a_report_is_logged_under_its_room_and_told(caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    told = collected(observer)
    error = ValueError("what went wrong")
    observer.report("object.handler_failed", "a handler failed", error, object="room-1")
    assert told == [("object.handler_failed", {"error": error, "object": "room-1"})]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("roost.object", logging.ERROR)
    assert record.message == "a handler failed object='room-1'"
    assert "what went wrong" in caplog.text


async def test_wait_for_hears_what_happens_from_the_call_on() -> None:
    observer = Observer()
    happened = observer.wait_for("a", x=1)
    observer.notify("a")
    observer.notify("a", x=2)
    observer.notify("b", x=1)
    assert not happened.done()
    observer.notify("a", x=1, y=2)
    observer.notify("a", x=1, y=3)
    assert await happened == {"x": 1, "y": 2}
    assert not observer.listening


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    observer = Observer()
    happened = observer.wait_for("a")
    happened.cancel()
    await asyncio.sleep(0)
    assert not observer.listening
