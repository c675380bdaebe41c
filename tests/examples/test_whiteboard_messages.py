"""What the whiteboard takes from a page, and what it says to the rest."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STROKE: dict[str, Any] = {"id": "a" * 20, "tool": "pen", "colour": "ink", "width": 4, "points": [0, 0, 0.5, 9, 9, 0.5]}
ADD: dict[str, Any] = {"type": "add", "client": "c" * 20, "seq": 1, "strokes": [STROKE]}
CURSOR: dict[str, Any] = {"type": "cursor", "x": 1.5, "y": -2}

GOOD: list[dict[str, Any]] = [
    {"type": "hello", "name": "Ada", "colour": "blue"},
    {"type": "hello", "name": "Ada", "colour": "#a0b1c2", "board": "0f", "revision": 7},
    {"type": "profile", "name": "", "colour": "red"},
    {"type": "sync"},
    {"type": "sync", "after": "a" * 20},
    CURSOR,
    {"type": "cursor", "away": True},
    CURSOR | {"piece": STROKE | {"at": 4}},
    CURSOR | {"dropped": "a" * 20},
    ADD,
    ADD | {"strokes": [STROKE | {"order": 3}]},
    {"type": "remove", "client": "c" * 20, "seq": 2, "ids": ["a" * 20]},
    {"type": "clear", "client": "c" * 20, "seq": 3},
]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: str(message)[:40])
def test_a_good_message_is_read(messages: ModuleType, message: dict[str, Any]) -> None:
    assert type(messages.read_message(json.dumps(message))).__name__.lower() == message["type"]


BAD: list[tuple[Any, str]] = [
    ("", "truncated"),
    ("{", "truncated"),
    ("[]", "object"),
    ("null", "object"),
    ("\ud800", "surrogates"),
    ({}, "type"),
    ({"type": "dance"}, "dance"),
    ({"type": "hello"}, "name"),
    ({"type": "hello", "name": "x" * 41, "colour": "red"}, "40"),
    ({"type": "hello", "name": "x", "colour": "RED;"}, "colour"),
    ({"type": "hello", "name": "x", "colour": "red", "admin": True}, "admin"),
    (CURSOR | {"x": "left"}, "x"),
    (CURSOR | {"x": 1e9}, "x"),
    (CURSOR | {"dropped": "../x"}, "dropped"),
    (ADD | {"seq": 0}, "seq"),
    (ADD | {"seq": 1.5}, "seq"),
    (ADD | {"client": "short"}, "client"),
    (ADD | {"strokes": []}, "strokes"),
    (ADD | {"strokes": [STROKE] * 101}, "100"),
    (ADD | {"strokes": [STROKE | {"points": [1, 2]}]}, "points"),
    (ADD | {"strokes": [STROKE | {"points": [0, 0, 0.5, 1]}]}, "multiple of 3"),
    (ADD | {"strokes": [STROKE | {"points": [0, 0, 1.5]}]}, "pressure"),
    (ADD | {"strokes": [STROKE | {"points": [0, 0, 0.5] * 2001}]}, "6000"),
    (ADD | {"strokes": [STROKE | {"width": 0}]}, "width"),
    (ADD | {"strokes": [STROKE | {"tool": "spray"}]}, "spray"),
    (ADD | {"strokes": [STROKE | {"id": "A" * 20}]}, "id"),
    (ADD | {"strokes": [STROKE | {"order": -1}]}, "order"),
    ({"type": "remove", "client": "c" * 20, "seq": 1, "ids": ["a" * 20] * 101}, "100"),
]


@pytest.mark.parametrize(("message", "said"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_message_is_refused_with_what_was_wrong(messages: ModuleType, message: Any, said: str) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    with pytest.raises(messages.BadMessage, match=f"(?i){said}"):
        messages.read_message(text)


def test_numbers_that_json_does_not_have_are_refused(messages: ModuleType) -> None:
    with pytest.raises(messages.BadMessage):
        messages.read_message('{"type": "cursor", "x": NaN, "y": 0}')


def test_binary_is_refused(messages: ModuleType) -> None:
    with pytest.raises(messages.BadMessage, match="expected a text message"):
        messages.read_message(b"{}")


def test_a_message_above_its_bound_is_refused_unread(messages: ModuleType) -> None:
    with pytest.raises(messages.BadMessage, match="1000000 characters"):
        messages.read_message(" " * 1_000_001)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(messages: ModuleType, text: str) -> None:
    with pytest.raises(messages.BadMessage):
        messages.read_message(text)
    assert messages.read_number(text) is None


def test_the_number_of_a_bad_change_is_read_so_that_its_page_can_drop_it(messages: ModuleType) -> None:
    number = messages.read_number(json.dumps(ADD | {"strokes": "none"}))
    assert (number.client, number.seq) == ("c" * 20, 1)
    assert messages.read_number('{"seq": 1}') is None
    assert messages.read_number("]") is None
    assert messages.read_number(b"\xff") is None


def test_a_room_is_named_by_printable_characters(messages: ModuleType) -> None:
    assert messages.read_room("  Küche 7 ") == "Küche 7"
    assert messages.read_room("") == "default"
    with pytest.raises(messages.BadMessage, match="printable"):
        messages.read_room("a\nb")
    with pytest.raises(messages.BadMessage, match="80 characters, this one has 81"):
        messages.read_room("x" * 81)


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [("Ada", "Ada"), ("  Ada \n Lovelace\t", "Ada Lovelace"), ("\x00\x1b", "Somebody"), ("", "Somebody"), ("名", "名")],
)
def test_names_are_one_line_and_never_empty(messages: ModuleType, given_name: str, shown: str) -> None:
    assert messages.clean_name(given_name) == shown


def test_only_a_well_formed_client_becomes_a_tag(messages: ModuleType) -> None:
    assert messages.client_tags("c" * 20) == ["client:" + "c" * 20]
    assert messages.client_tags("") == messages.client_tags("C" * 20) == messages.client_tags("x" * 99) == []
