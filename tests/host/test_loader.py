from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from roost.errors import AppLoadError
from roost.host.loader import find_app, load_app

pytestmark = pytest.mark.usefixtures("clean_imports")

APP = """\
from roost.objects.durable_object import DurableObject

class WhiteboardRoom(DurableObject):
    async def fetch(self, request): ...

async def fetch(request, env): ...
"""


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def refusal(source: Any = None, **options: Any) -> str:
    with pytest.raises(AppLoadError) as caught:
        load_app(source, **options)
    return str(caught.value)


def test_the_app_is_found_without_being_named(tmp_path: Path) -> None:
    write(tmp_path, app=APP)
    app = load_app(directory=tmp_path)
    assert list(app.classes) == ["WHITEBOARD_ROOM"]
    assert find_app(tmp_path) == tmp_path / "app.py"


def test_a_directory_without_app_names_what_was_looked_for(tmp_path: Path) -> None:
    assert "looked for app.py, app/__init__.py, main.py" in refusal(directory=tmp_path)
    assert "there is no app at" in refusal("gone.py", directory=tmp_path)


def test_a_path_a_directory_and_an_attribute_name_the_app(tmp_path: Path) -> None:
    write(tmp_path, app=APP + "async def other(request, env): ...\n")
    assert load_app(tmp_path / "app.py").entrypoint.__name__ == "fetch"
    assert load_app(str(tmp_path / "app.py") + ":other").entrypoint.__name__ == "other"
    assert load_app(str(tmp_path)).entrypoint.__name__ == "fetch"
    assert load_app("app:other", directory=tmp_path).entrypoint.__name__ == "other"


def test_a_module_that_is_at_hand_is_an_app() -> None:
    module = ModuleType("at_hand")
    exec(APP, module.__dict__)
    assert list(load_app(module).classes) == ["WHITEBOARD_ROOM"]


def test_modules_beside_the_app_can_be_imported_now_and_later(tmp_path: Path) -> None:
    write(
        tmp_path,
        rooms_of_this_test=APP,
        app="import rooms_of_this_test as rooms\nclass Room(rooms.WhiteboardRoom): ...\n",
    )
    assert list(load_app(directory=tmp_path).classes) == ["ROOM"]
    assert str(tmp_path) in sys.path


def test_a_binding_may_name_a_class_of_a_module_beside_the_app(tmp_path: Path) -> None:
    write(tmp_path, beside=APP, app="async def fetch(request, env): ...\n")
    app = load_app(directory=tmp_path, bindings={"BOARD": "beside:WhiteboardRoom"})
    assert app.classes["BOARD"].__module__ == "beside"
    assert "there is no module 'gone'" in refusal(directory=tmp_path, bindings={"BOARD": "gone:X"})


def test_relative_imports_work_in_a_package(tmp_path: Path) -> None:
    write(
        tmp_path,
        shop__in____init__="",
        shop__in__rooms=APP,
        shop__in__main="from . import rooms\nfrom .rooms import fetch\n",
    )
    app = load_app(tmp_path / "shop" / "main.py", bindings={"BOARD": "shop.rooms:WhiteboardRoom"})
    assert list(app.classes) == ["BOARD"]
    assert app.name == "shop.main"


def test_each_load_executes_the_module_anew(tmp_path: Path) -> None:
    write(tmp_path, app=APP)
    first = load_app(directory=tmp_path)
    write(tmp_path, app=APP.replace("WhiteboardRoom", "Lobby"))
    assert list(first.classes) == ["WHITEBOARD_ROOM"]
    assert list(load_app(directory=tmp_path).classes) == ["LOBBY"]


def test_a_failing_import_shows_the_users_frames_only(tmp_path: Path) -> None:
    write(
        tmp_path,
        broken_beside="def boom():\n    raise ValueError('no such board')\nboom()\n",
        app="import broken_beside\n",
    )
    message = refusal(directory=tmp_path)
    assert "app.py does not import: ValueError: no such board" in message
    assert "broken_beside.py" in message
    assert "in boom" in message
    assert "importlib" not in message
    assert "loader.py" not in message


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    write(tmp_path, app="x = 1\ndef f(:\n    pass\n")
    message = refusal(directory=tmp_path)
    assert "SyntaxError" in message
    assert "line 2" in message
    assert "def f(:" in message


def test_a_missing_dependency_of_the_app_is_told_apart_from_a_missing_app(tmp_path: Path) -> None:
    write(tmp_path, app="import no_such_dependency\n")
    assert "No module named 'no_such_dependency'" in refusal(directory=tmp_path)
    assert "there is no module 'nosuchapp'" in refusal("nosuchapp:fetch", directory=tmp_path)


def test_an_app_that_exits_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    write(tmp_path, app="raise SystemExit(3)\n")
    assert "SystemExit: 3" in refusal(directory=tmp_path)


def test_a_failed_load_leaves_no_half_module_behind(tmp_path: Path) -> None:
    write(tmp_path, app="1 / 0\n")
    refusal(directory=tmp_path)
    assert "app" not in sys.modules


def test_a_file_that_python_could_not_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my-app.py").write_text(APP)
    assert "is not a name that Python could import" in refusal(tmp_path / "my-app.py")
