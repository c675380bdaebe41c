from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.ids import IdSpace, ObjectId, typed

ROOMS = IdSpace("ROOM", "Room")
CHATS = IdSpace("CHAT", "Chat")


def test_the_same_name_gives_the_same_id_in_every_process() -> None:
    assert str(ROOMS.from_name("lobby")) == str(IdSpace("ROOM", "Room").from_name("lobby"))
    assert str(ROOMS.from_name("lobby")) == "5f7a3b078b1477accd546d031b798791a86e22d910355ea4c5be5435089f63f7"


def test_errors_name_an_object_as_people_type_it() -> None:
    lobby = ROOMS.from_name("lobby")
    assert typed(lobby) == "ROOM:lobby"
    assert typed(ROOMS.from_string(str(lobby))) == f"ROOM {lobby}"


def test_another_name_or_class_gives_another_id() -> None:
    assert ROOMS.from_name("a") != ROOMS.from_name("b")
    assert ROOMS.from_name("a").key != CHATS.from_name("a").key


def test_unique_ids_never_meet_and_have_no_name() -> None:
    made = {ROOMS.unique() for _ in range(1_000)}
    assert len(made) == 1_000
    assert all(one.name is None and ROOMS.owns(one.key) for one in made)


@given(st.text(max_size=100))
def test_the_string_form_leads_back_in_either_case(name: str) -> None:
    made = ROOMS.from_name(name)
    for text in (str(made), made.to_string().upper()):
        found = ROOMS.from_string(text)
        assert found == made
        assert found.equals(made)
        assert hash(found) == hash(made)
        assert found.name is None
    assert len(str(made)) == 64
    assert str(made) == str(made).lower()


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "a" * 63, "a" * 65, " " * 64, "é" * 64])
def test_what_is_no_id_is_refused_by_its_form(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="must be 64 hex digits"):
        ROOMS.from_string(text)


def test_an_id_of_another_class_is_recognised() -> None:
    with pytest.raises(InvalidArgumentError, match="not valid for this namespace, ROOM"):
        ROOMS.from_string(str(CHATS.from_name("lobby")))


def test_a_single_changed_digit_is_recognised() -> None:
    text = str(ROOMS.unique())
    for place in range(64):
        other = "0" if text[place] != "0" else "1"
        with pytest.raises(InvalidArgumentError):
            ROOMS.from_string(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("value", [None, 7, b"x", ["x"]])
def test_a_name_or_string_of_another_type_is_named(value: object) -> None:
    with pytest.raises(WrongTypeError, match=type(value).__name__):
        ROOMS.from_name(value)  # type: ignore[arg-type]
    with pytest.raises(WrongTypeError, match=type(value).__name__):
        ROOMS.from_string(value)  # type: ignore[arg-type]


def test_the_length_of_a_name_is_counted_in_bytes() -> None:
    ROOMS.from_name("é" * 512)
    with pytest.raises(LimitExceededError) as caught:
        ROOMS.from_name("é" * 513)
    assert (caught.value.limit, caught.value.actual) == (1_024, 1_026)


def test_a_lone_surrogate_is_no_name() -> None:
    with pytest.raises(InvalidArgumentError, match="surrogate"):
        ROOMS.from_name("\ud800")


def test_an_id_is_equal_to_nothing_else() -> None:
    made = ROOMS.from_name("x")
    assert made != str(made)
    assert made == ObjectId(made.key, "ROOM", "another name")
    assert "'x'" in repr(made)
