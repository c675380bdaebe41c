from __future__ import annotations

import copy

import pytest

from roost.env import Env
from roost.errors import InvalidStateError, UnknownBindingError


def test_bindings_and_variables_are_found_by_name() -> None:
    env = Env({"ROOM": "a namespace", "GREETING": "hello"})
    assert env.ROOM == env["ROOM"] == "a namespace"
    assert "ROOM" in env
    assert "LOBBY" not in env
    assert (list(env), len(env)) == (["ROOM", "GREETING"], 2)
    assert {"ROOM", "GREETING"} <= set(dir(env))
    assert repr(env) == "<Env GREETING, ROOM>"


def test_an_unknown_name_lists_those_there_are() -> None:
    env = Env({"WHITEBOARD_ROOM": 1, "ASSETS": 2})
    said = "env has no binding 'WHITEBORD_ROOM'; it has: ASSETS, WHITEBOARD_ROOM; did you mean WHITEBOARD_ROOM[?]"
    with pytest.raises(UnknownBindingError, match=said):
        _ = env.WHITEBORD_ROOM
    with pytest.raises(UnknownBindingError, match=said):
        _ = env["WHITEBORD_ROOM"]


def test_a_name_in_the_wrong_case_is_hinted_at() -> None:
    with pytest.raises(UnknownBindingError, match="did you mean ROOM"):
        _ = Env({"ROOM": 1}).room


def test_an_empty_env_says_so() -> None:
    with pytest.raises(UnknownBindingError, match="it has: none"):
        _ = Env().ROOM
    assert repr(Env()) == "<Env empty>"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert getattr(Env(), "ROOM", "default") == "default"
    assert not hasattr(Env(), "ROOM")


def test_env_cannot_be_changed() -> None:
    env = Env({"ROOM": 1})
    with pytest.raises(InvalidStateError, match="'ROOM' belongs into the configuration"):
        env.ROOM = 2
    with pytest.raises(InvalidStateError, match="cannot be changed"):
        del env.ROOM
    assert env.ROOM == 1


def test_env_can_be_copied() -> None:
    assert copy.copy(Env({"ROOM": 1})).ROOM == 1
