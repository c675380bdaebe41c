"""What a user's module offers to roost: the classes of its objects, and the entrypoint in front of them."""

# A class is read, never guessed at:
#
#  (1) A binding is a class that the module defines itself, or one that the configuration names. Nothing imported is
#      bound.
#  (2) One binding, one class; one class, one binding. The binding's name is what the ids of its objects are made with.
#  (3) What cannot work is refused before anything is served: the wrong parameters, no `fetch`, a name in camelCase.

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from roost.errors import AppLoadError
from roost.host import network
from roost.host.entrypoint import WorkerEntrypoint
from roost.objects.durable_object import DurableObject

HANDLERS = {
    "fetch": ("request",),
    "web_socket_message": ("ws", "message"),
    "web_socket_close": ("ws", "code", "reason", "was_clean"),
    "web_socket_error": ("ws", "error"),
    "pre_shutdown": ("info",),
}
"""The methods that roost calls, with what it gives them."""

_CAMEL_CASE = {re.sub(r"_([a-z])", lambda match: match[1].upper(), name): name for name in HANDLERS if "_" in name}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[A-Z]")
_BINDING = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
ASSETS = "ASSETS"
RESERVED = frozenset({ASSETS})
"""Names in `env` that roost itself gives."""


class App(msgspec.Struct, frozen=True, kw_only=True):
    """The user's code, ready to be served."""

    name: str
    classes: dict[str, type[DurableObject]]
    """By binding."""
    entrypoint: Any = None
    """A function `fetch(request, env)`, a WorkerEntrypoint class, or None where the app has none."""


def binding_name(class_name: str) -> str:
    """`WhiteboardRoom` becomes `WHITEBOARD_ROOM`, `HTTPRoom` `HTTP_ROOM`, `Room2` `ROOM2`."""
    words: list[str] = []
    for word in _WORDS.findall(class_name):
        if words and word.isdigit():
            words[-1] += word
        else:
            words.append(word)
    return "_".join(words).upper()


def app_of_module(module: ModuleType, *, attribute: str = "", bindings: Mapping[str, Any] | None = None) -> App:
    """The app that a module holds. `bindings` names classes (or gives them) by binding; `attribute` the entrypoint."""
    classes = _bound_classes(module, bindings or {})
    entrypoint = _find_entrypoint(module, attribute)
    if not classes and entrypoint is None:
        raise AppLoadError(
            f"{module.__name__} holds nothing that roost could run: "
            f"no subclass of roost.DurableObject and no `async def fetch(request, env)`{_imported_hint(module)}"
        )
    return App(name=module.__name__, classes=classes, entrypoint=entrypoint)


def app_of_classes(
    *classes: type[DurableObject], entrypoint: Callable[..., Any] | None = None, name: str = "app"
) -> App:
    """An app of classes that are at hand, for tests and for embedding."""
    bound: dict[str, type[DurableObject]] = {}
    for cls in classes:
        _bind(bound, binding_name(cls.__name__), cls)
    return App(name=name, classes=bound, entrypoint=check_entrypoint(entrypoint, "the entrypoint"))


# -- classes -----------------------------------------------------------------------------------------------------------


def _bound_classes(module: ModuleType, explicit: Mapping[str, Any]) -> dict[str, type[DurableObject]]:
    bound: dict[str, type[DurableObject]] = {}
    for binding, named in explicit.items():
        _bind(bound, binding, _named_class(module, binding, named))
    taken = set(bound.values())
    for cls in _defined_classes(module):
        if cls not in taken:
            _bind(bound, binding_name(cls.__name__), cls)
    return bound


def _defined_classes(module: ModuleType) -> list[type[DurableObject]]:
    found: dict[type[DurableObject], None] = {}
    for name, value in vars(module).items():
        if is_object_class(value) and value.__module__ == module.__name__ and not name.startswith("_"):
            found[value] = None
    return list(found)


def is_object_class(value: object) -> bool:
    """Whether it is a class of objects, and not DurableObject itself."""
    return isinstance(value, type) and issubclass(value, DurableObject) and value is not DurableObject


def _imported_hint(module: ModuleType) -> str:
    imported = [name for name, value in vars(module).items() if is_object_class(value)]
    if not imported:
        return ""
    return f"; {imported[0]} is only imported there: bind it, [tool.roost.bindings] {binding_name(imported[0])} = …"


def _named_class(module: ModuleType, binding: str, named: object) -> type[DurableObject]:
    """The class that a configured binding means: a class, its name in the app's module, or `module:Class`."""
    value = named
    where = f"the binding {binding}"
    if isinstance(named, str):
        holder: Any = module
        path, colon, attribute = named.rpartition(":")
        if colon:
            holder = _import_beside(path, where)
        value = getattr(holder, attribute, None)
        if value is None:
            raise AppLoadError(f"{where}: {holder.__name__} has no class {attribute!r}")
    if not is_object_class(value):
        raise AppLoadError(f"{where} must name a subclass of roost.DurableObject, {named!r} is {_kind(value)}")
    assert isinstance(value, type)
    return value


def _import_beside(name: str, where: str) -> ModuleType:
    from roost.host.loader import import_named  # it needs this module

    return import_named(name, where)


def _bind(bound: dict[str, type[DurableObject]], binding: str, cls: type[DurableObject]) -> None:
    if not _BINDING.fullmatch(binding):
        raise AppLoadError(f"a binding must be a name such as WHITEBOARD_ROOM, got {binding!r} for {cls.__name__}")
    if binding in RESERVED:
        raise AppLoadError(
            f"the binding {binding} of {cls.__name__} is a name of roost's own: rename the class or bind it"
        )
    if binding in bound:
        first = bound[binding]
        raise AppLoadError(
            f"two classes have the binding {binding}: {_place(first)} and {_place(cls)}; "
            "rename one, or name their bindings in [tool.roost.bindings]"
        )
    if cls in bound.values():
        raise AppLoadError(f"{cls.__name__} has two bindings, {_binding_of(bound, cls)} and {binding}; give it one")
    check_class(cls)
    bound[binding] = cls


def _binding_of(bound: Mapping[str, type[DurableObject]], cls: type[DurableObject]) -> str:
    return next(binding for binding, other in bound.items() if other is cls)


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def check_class(cls: type[DurableObject]) -> None:
    """Raises AppLoadError when roost could not run its objects."""
    for camel, snake in _CAMEL_CASE.items():
        if hasattr(cls, camel):
            raise AppLoadError(f"{_place(cls)} defines {camel}, which roost would never call: its name is {snake}")
    if not callable(getattr(cls, "fetch", None)):
        raise AppLoadError(
            f"{_place(cls)} needs a method `async def fetch(self, request)`: nothing else reaches its objects"
        )
    check_parameters(cls.__init__, ("self", "ctx", "env"), f"{_place(cls)}.__init__")
    for name, parameters in HANDLERS.items():
        method = inspect.getattr_static(cls, name, None)
        if inspect.isfunction(method):
            check_parameters(method, ("self", *parameters), f"{_place(cls)}.{name}")


def check_parameters(function: Callable[..., Any], given: tuple[str, ...], where: str) -> None:
    """Raises AppLoadError when the function cannot be called with these arguments in this order."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a callable written in C tells nothing; the call itself will
    try:
        signature.bind(*given)
    except TypeError as error:
        expected = ", ".join(given)
        raise AppLoadError(f"{where} is called with ({expected}), but it takes {signature}") from error


# -- entrypoint --------------------------------------------------------------------------------------------------------


def _find_entrypoint(module: ModuleType, attribute: str) -> Any:
    if attribute:
        if not hasattr(module, attribute):
            raise AppLoadError(f"{module.__name__} has no {attribute!r}, which was to be its entrypoint")
        return check_entrypoint(getattr(module, attribute), f"{module.__name__}:{attribute}")
    function = getattr(module, "fetch", None)
    if function is network.fetch:
        function = None  # what reaches the network from inside the app, imported under its own name
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, WorkerEntrypoint) and value.__module__ == module.__name__
    ]
    classes = [cls for cls in classes if cls.__name__ == "Default"] or classes
    found = ([function] if function is not None else []) + classes
    if len(found) > 1:
        names = " and ".join(f"`{entry.__name__}`" for entry in found)
        raise AppLoadError(f"{module.__name__} has more than one entrypoint, {names}: keep one")
    return check_entrypoint(found[0], f"{module.__name__}.{found[0].__name__}") if found else None


def check_entrypoint(entry: Any, where: str) -> Any:
    """The entrypoint as it is; AppLoadError when it could not be called."""
    if entry is None:
        return None
    if isinstance(entry, type):
        method = getattr(entry, "fetch", None)
        if not issubclass(entry, WorkerEntrypoint) or not callable(method):
            raise AppLoadError(
                f"{where} cannot be the entrypoint: a class must derive from roost.WorkerEntrypoint "
                "and have `async def fetch(self, request)`"
            )
        check_parameters(entry.__init__, ("self", "ctx", "env"), f"{where}.__init__")
        check_parameters(method, ("self", "request"), f"{where}.fetch")
        return entry
    if not callable(entry):
        raise AppLoadError(
            f"{where} cannot be the entrypoint: expected `async def fetch(request, env)`, got {_kind(entry)}"
        )
    check_parameters(entry, ("request", "env"), where)
    return entry


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"
