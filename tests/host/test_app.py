from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from roost.errors import AppLoadError
from roost.host.app import app_of_classes, app_of_module, binding_name, check_entrypoint
from roost.host.entrypoint import WorkerEntrypoint
from roost.objects.durable_object import DurableObject


def module_of(source: str, name: str = "shown") -> ModuleType:
    module = ModuleType(name)
    exec(
        "from roost.objects.durable_object import DurableObject\n"
        "from roost.host.entrypoint import WorkerEntrypoint\n" + source,
        module.__dict__,
    )
    return module


ROOM = "class Room(DurableObject):\n    async def fetch(self, request): ...\n"


@pytest.mark.parametrize(
    ("name", "binding"),
    [
        ("WhiteboardRoom", "WHITEBOARD_ROOM"),
        ("HTTPRoom", "HTTP_ROOM"),
        ("RoomHTTP", "ROOM_HTTP"),
        ("Room", "ROOM"),
        ("Room2", "ROOM2"),
        ("V2Room", "V2_ROOM"),
        ("GameOfLife3D", "GAME_OF_LIFE3_D"),
        ("ABTest", "AB_TEST"),
        ("snake_case", "SNAKE_CASE"),
        ("X", "X"),
    ],
)
def test_a_class_is_bound_under_its_name_in_upper_snake_case(name: str, binding: str) -> None:
    assert binding_name(name) == binding


def test_the_classes_that_the_module_defines_become_bindings() -> None:
    app = app_of_module(module_of(ROOM + "class HTTPLog(Room): ...\nasync def fetch(request, env): ...\n"))
    assert {binding: cls.__name__ for binding, cls in app.classes.items()} == {"ROOM": "Room", "HTTP_LOG": "HTTPLog"}
    assert app.entrypoint.__name__ == "fetch"


def test_an_imported_or_private_class_is_not_bound() -> None:
    module = module_of("class _Base(DurableObject):\n    async def fetch(self, request): ...\n" + ROOM)
    other = module_of(ROOM.replace("Room", "Other"), "elsewhere")
    module.Other = other.Other  # type: ignore[attr-defined]
    assert list(app_of_module(module).classes) == ["ROOM"]


def test_an_explicit_binding_renames_a_class_and_may_name_an_imported_one() -> None:
    module = module_of(ROOM)
    other = module_of(ROOM.replace("Room", "Other"), "elsewhere")
    module.Other = other.Other  # type: ignore[attr-defined]
    app = app_of_module(module, bindings={"LOBBY": "Room", "GUEST": "Other"})
    assert {binding: cls.__name__ for binding, cls in app.classes.items()} == {"LOBBY": "Room", "GUEST": "Other"}


def refusal(source: str, **options: Any) -> str:
    with pytest.raises(AppLoadError) as caught:
        app_of_module(module_of(source), **options)
    return str(caught.value)


def test_an_explicit_binding_of_something_else_is_refused() -> None:
    assert "has no class 'Gone'" in refusal(ROOM, bindings={"ROOM": "Gone"})
    assert "'x' is a int" in refusal(ROOM + "x = 1\n", bindings={"ROOM": "x"})
    assert "a binding must be a name such as" in refusal(ROOM, bindings={"my-room": "Room"})
    assert "is a name of roost's own" in refusal(ROOM, bindings={"ASSETS": "Room"})


def test_two_classes_with_one_binding_are_refused_with_both_names() -> None:
    message = refusal(ROOM + ROOM.replace("Room", "ROOM"))
    assert "shown.Room" in message
    assert "shown.ROOM" in message


def test_one_class_with_two_bindings_is_refused() -> None:
    assert "Room has two bindings, A and B" in refusal(ROOM, bindings={"A": "Room", "B": "Room"})


def test_a_module_with_nothing_to_run_is_refused_and_told_of_what_it_only_imports() -> None:
    assert "holds nothing that roost could run" in refusal("x = 1\n")
    module = module_of("")
    module.Room = module_of(ROOM, "elsewhere").Room  # type: ignore[attr-defined]
    with pytest.raises(AppLoadError, match="Room is only imported there"):
        app_of_module(module)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("async def web_socket_message(self, message): ...", "web_socket_message is called with (self, ws, message)"),
        ("async def web_socket_close(self, ws): ...", "web_socket_close is called with"),
        ("async def web_socket_error(self, ws): ...", "web_socket_error is called with (self, ws, error)"),
        ("def __init__(self): ...", "__init__ is called with (self, ctx, env), but it takes (self)"),
        ("async def webSocketMessage(self, ws, message): ...", "its name is web_socket_message"),
    ],
)
def test_a_handler_that_could_not_be_called_is_refused(method: str, told: str) -> None:
    assert told in refusal(ROOM + f"    {method}\n")


def test_a_class_without_fetch_is_refused() -> None:
    assert "needs a method `async def fetch(self, request)`" in refusal("class Room(DurableObject): ...\n")


def test_handlers_may_take_more_than_they_are_given() -> None:
    app_of_module(
        module_of(
            "class Room(DurableObject):\n"
            "    def __init__(self, ctx, env, *more, key=1): ...\n"
            "    async def fetch(self, request, why=None): ...\n"
            "    async def web_socket_message(self, *args): ...\n"
        )
    )


def test_an_entrypoint_with_other_parameters_is_refused() -> None:
    assert "is called with (request, env), but it takes (request)" in refusal("async def fetch(request): ...\n")


def test_an_entrypoint_may_be_a_class() -> None:
    app = app_of_module(module_of("class Default(WorkerEntrypoint):\n    async def fetch(self, request): ...\n"))
    assert app.entrypoint.__name__ == "Default"


def test_two_entrypoints_are_refused() -> None:
    source = "async def fetch(request, env): ...\nclass Default(WorkerEntrypoint):\n    def fetch(self, request): ...\n"
    assert "more than one entrypoint, `fetch` and `Default`" in refusal(source)


def test_the_entrypoint_can_be_named() -> None:
    source = "async def fetch(request, env): ...\nasync def other(request, env): ...\n"
    assert app_of_module(module_of(source), attribute="other").entrypoint.__name__ == "other"
    assert "has no 'gone'" in refusal(source, attribute="gone")


def test_what_cannot_be_an_entrypoint_is_refused_by_kind() -> None:
    class NoFetch(WorkerEntrypoint): ...

    with pytest.raises(AppLoadError, match="a class must derive from"):
        check_entrypoint(NoFetch, "x")
    with pytest.raises(AppLoadError, match="a class must derive from"):
        check_entrypoint(dict, "x")
    with pytest.raises(AppLoadError, match="got a int"):
        check_entrypoint(3, "x")


def test_an_app_of_classes_at_hand() -> None:
    class Room(DurableObject):
        async def fetch(self, request: Any) -> Any: ...

    assert app_of_classes(Room).classes == {"ROOM": Room}
    with pytest.raises(AppLoadError, match="the binding ROOM"):
        app_of_classes(Room, Room)
