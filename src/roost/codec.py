# Stored values: Python objects to bytes and back.
#
#  (1) What was stored comes back equal, with the same types, as a fresh copy: a tuple is a tuple, an int is exact.
#  (2) Only what is listed in `encode` is carried. Anything else is refused by name and place; nothing is guessed.
#  (3) Reading runs no user code: instances of registered classes are filled in, their constructors are not called.
#      (Structs are built by msgspec's own constructor, exceptions by `Exception.__new__`.)
#  (4) A value made of None, bool, int, float, str, bytes, list and dict costs one look at its types, done in C, and one
#      call of msgspec. Everything else is rewritten first, with extension types for what MessagePack does not know.
#  (5) The numbers of the extension types are part of every stored value: add to them, never change them.
"""Encode values for storage and between processes: msgspec's MessagePack, with types kept; never pickle."""

from __future__ import annotations

import builtins
import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import uuid
import zoneinfo
from collections.abc import Callable
from gc import get_referents
from typing import Any, TypeVar, cast, overload

import msgspec

from roost.errors import InvalidArgumentError, UnserialisableError, WrongTypeError

_T = TypeVar("_T", bound=type)

DEPTH_MAX = 200
"""How deeply containers may be nested."""

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset({list, dict})
_PLAIN = _SCALARS | _CONTAINERS | {bytearray}
_INT64 = range(-(2**63), 2**64)

_pack = msgspec.msgpack.Encoder().encode


class _Code(enum.IntEnum):
    """The extension types, by number; see (5)."""

    TUPLE = 1
    SET = 2
    FROZENSET = 3
    BIG_INT = 4
    DATETIME = 5
    DATE = 6
    TIME = 7
    TIMEDELTA = 8
    DECIMAL = 9
    UUID = 10
    REGISTERED = 11
    EXCEPTION = 12
    PAIRS = 13  # a dict with keys that are not plain


class StoredError(Exception):
    """What an exception of an unknown class is read back as: `name` is its class, `str()` its message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name

    def __repr__(self) -> str:
        return f"StoredError({self.name!r}, {str(self)!r})"


class Codec:
    """A registry of classes, and the two functions that use it; most code uses those of the module."""

    def __init__(self) -> None:
        self._by_class: dict[type, str] = {}
        self._by_name: dict[str, type] = {}
        self._unpack = msgspec.msgpack.Decoder(ext_hook=self._revive).decode
        self._revivers: dict[int, Callable[[Any], Any]] = {
            _Code.TUPLE: tuple,
            _Code.SET: set,
            _Code.FROZENSET: frozenset,
            _Code.BIG_INT: lambda text: int(text, 16),
            _Code.DATETIME: _read_datetime,
            _Code.DATE: dt.date.fromisoformat,
            _Code.TIME: _read_time,
            _Code.TIMEDELTA: lambda parts: dt.timedelta(*parts),
            _Code.DECIMAL: decimal.Decimal,
            _Code.UUID: lambda raw: uuid.UUID(bytes=raw),
            _Code.REGISTERED: self._read_registered,
            _Code.EXCEPTION: self._read_exception,
            _Code.PAIRS: lambda pairs: dict(pairs),
        }

    @overload
    def register(self, cls: _T, name: str | None = None) -> _T: ...
    @overload
    def register(self, cls: None = None, name: str | None = None) -> Callable[[_T], _T]: ...
    def register(self, cls: Any = None, name: str | None = None) -> Any:
        """Let instances of a class be stored with their type; use it as `@register` or `@register(name="Point")`.

        For dataclasses, msgspec Structs, enums, named tuples and exceptions. `name` is what stands in the stored bytes,
        by default the class's qualified name: give one that will outlive a renaming of the class. Fields that were
        added since a value was stored take their default; fields that are gone are ignored.
        """
        if cls is None:
            return lambda decorated: self.register(decorated, name)
        if not isinstance(cls, type) or not _is_registrable(cls):
            raise WrongTypeError(
                f"register takes a dataclass, Struct, enum, named tuple or exception class, got {_describe(cls)}"
            )
        chosen = name if name is not None else cls.__qualname__
        if not isinstance(chosen, str) or not chosen:
            raise WrongTypeError(
                f"the name to register {cls.__qualname__} under must be a non-empty str, got {chosen!r}"
            )
        previous = self._by_name.get(chosen)
        again = (cls.__module__, cls.__qualname__)  # perhaps from a module that was loaded once more
        if previous is not None and (previous.__module__, previous.__qualname__) != again:
            raise InvalidArgumentError(
                f"{chosen!r} is already registered for {previous.__module__}.{previous.__qualname__};"
                f" give {cls.__module__}.{cls.__qualname__} a name of its own: register(name=...)"
            )
        self._by_name[chosen] = cls
        self._by_class[cls] = chosen
        return cls

    def encode(self, value: object, what: str = "value") -> bytes:
        """The bytes of a value; `what` stands for the value itself in errors.

        Carried: None, bool, int of any size, float, str, bytes (bytearray and memoryview come back as bytes), list,
        tuple, set, frozenset, dict, datetime, date, time, timedelta, Decimal, UUID, exceptions (class and message), and
        instances of registered classes. Datetimes come back as they were: aware with their zone, naive without.

        Raises UnserialisableError for everything else, with the path to it.
        """
        try:
            if type(value) in _SCALARS or _is_plain(value):
                return _pack(value)
        except (OverflowError, UnicodeEncodeError):
            pass  # a big int or a lone surrogate somewhere: the slow way says where, or carries it
        rewritten = _Rewriter(self._by_class).rewrite(value, what, 0)
        return _pack(rewritten)

    def decode(self, raw: bytes | bytearray | memoryview) -> Any:
        """A fresh copy of the value whose bytes these are.

        Raises UnserialisableError when they are none, or name a class that is not registered here.
        """
        try:
            return self._unpack(raw)
        except UnserialisableError:
            raise
        except (msgspec.DecodeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
            raise UnserialisableError(f"these {len(raw)} bytes are not a stored value: {error}") from error

    def _revive(self, code: int, payload: memoryview) -> Any:
        reviver = self._revivers.get(code)
        if reviver is None:
            raise UnserialisableError(f"a stored value of kind {code}, which this version of roost does not know")
        return reviver(self._unpack(payload))

    def _read_registered(self, parts: list[Any]) -> Any:
        name, content = parts
        cls = self._by_name.get(name)
        if cls is None:
            raise UnserialisableError(f"a stored {name} cannot be read: no class is registered under that name")
        return _rebuild(cls, name, content)

    def _read_exception(self, parts: list[Any]) -> BaseException:
        name, message = parts
        cls = self._by_name.get(name, getattr(builtins, name, None))
        if isinstance(cls, type) and issubclass(cls, Exception):
            error = cls.__new__(cls, message)
            error.args = (message,)
            return error
        return StoredError(name, message)


def _is_plain(value: object) -> bool:
    """Whether msgspec alone carries this value: level by level, both steps of a level being single calls into C."""
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        kinds = set(map(type, level))
        if not kinds <= _PLAIN:
            return False
        if kinds.isdisjoint(_CONTAINERS):
            return True
        level = get_referents(*level)
    return False


class _Rewriter:
    """Turns a value into one that msgspec alone carries, or says what in it cannot be carried."""

    def __init__(self, names: dict[type, str]) -> None:
        self._names = names
        self._open: set[int] = set()  # containers we are inside of, by identity

    def rewrite(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is int:
            return value if value in _INT64 else _ext(_Code.BIG_INT, f"{value:x}")
        if kind is str:
            return _checked_text(value, path)
        if kind in _SCALARS:
            return value
        scalar = _SCALAR_WRITERS.get(kind)
        if scalar is not None:
            return scalar(value)
        container = _CONTAINER_WRITERS.get(kind)
        if container is not None:
            return self._inside(value, path, depth, container)
        if kind in self._names and not issubclass(kind, BaseException):
            return self._inside(value, path, depth, _Rewriter._write_registered)
        if isinstance(value, Exception):
            return self._write_exception(value, path)
        raise UnserialisableError(f"{path}: {_refusal(value)}")

    def _inside(self, value: Any, path: str, depth: int, write: Callable[[_Rewriter, Any, str, int], Any]) -> Any:
        if id(value) in self._open:
            raise UnserialisableError(
                f"{path}: this {type(value).__name__} contains itself, and a stored value is a tree"
            )
        if depth >= DEPTH_MAX:
            raise UnserialisableError(f"{path[:200]}…: nested more than {DEPTH_MAX} deep")
        self._open.add(id(value))
        try:
            return write(self, value, path, depth + 1)
        finally:
            self._open.discard(id(value))

    def _write_list(self, value: list[Any], path: str, depth: int) -> list[Any]:
        return [self.rewrite(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]

    def _write_tuple(self, value: tuple[Any, ...], path: str, depth: int) -> msgspec.msgpack.Ext:
        items = [self.rewrite(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]
        return _ext(_Code.TUPLE, items)

    def _write_set(self, value: set[Any] | frozenset[Any], path: str, depth: int) -> msgspec.msgpack.Ext:
        items = [self.rewrite(item, f"{path}{{{item!r:.80}}}", depth) for item in value]
        return _ext(_Code.SET if type(value) is set else _Code.FROZENSET, items)

    def _write_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        pairs = [
            (self.rewrite(key, f"{path} key {key!r:.80}", depth), self.rewrite(item, f"{path}[{key!r:.80}]", depth))
            for key, item in value.items()
        ]
        if all(type(key) in _SCALARS for key, _ in pairs):
            return dict(pairs)
        return _ext(_Code.PAIRS, pairs)

    def _write_registered(self, value: Any, path: str, depth: int) -> msgspec.msgpack.Ext:
        name = self._names[type(value)]
        content = _content(value)
        if isinstance(content, dict):
            body: Any = {key: self.rewrite(item, f"{path}.{key}", depth) for key, item in content.items()}
        else:
            body = self.rewrite(content, f"{path}.value", depth)
        return _ext(_Code.REGISTERED, [name, body])

    def _write_exception(self, error: Exception, path: str) -> msgspec.msgpack.Ext:
        kind = type(error)
        name = error.name if isinstance(error, StoredError) else self._names.get(kind, kind.__name__)
        return _ext(_Code.EXCEPTION, [name, _checked_text(str(error), path)])


def _ext(code: _Code, content: object) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code.value, _pack(content))


def _checked_text(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnserialisableError(f"{path}: a lone surrogate, which UTF-8 cannot hold, in {text!r:.80}") from error
    return text


def _write_zoned(value: dt.datetime | dt.time) -> msgspec.msgpack.Ext:
    zone = value.tzinfo
    key = zone.key if isinstance(zone, zoneinfo.ZoneInfo) else None
    code = _Code.DATETIME if isinstance(value, dt.datetime) else _Code.TIME
    return _ext(code, [value.isoformat(), value.fold, key])


def _read_datetime(parts: list[Any]) -> dt.datetime:
    text, fold, key = parts
    value = dt.datetime.fromisoformat(text).replace(fold=fold)
    if key is None:
        return value
    try:
        return value.replace(tzinfo=zoneinfo.ZoneInfo(key))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return value  # this machine does not know the zone; the offset is the one it had, so the moment is the same


def _read_time(parts: list[Any]) -> dt.time:
    text, fold, key = parts
    value = dt.time.fromisoformat(text).replace(fold=fold)
    return value if key is None else value.replace(tzinfo=zoneinfo.ZoneInfo(key))


_SCALAR_WRITERS: dict[type, Callable[[Any], Any]] = {
    bytearray: bytes,
    memoryview: lambda view: view.tobytes(),
    dt.datetime: _write_zoned,
    dt.date: lambda value: _ext(_Code.DATE, value.isoformat()),
    dt.time: _write_zoned,
    dt.timedelta: lambda value: _ext(_Code.TIMEDELTA, [value.days, value.seconds, value.microseconds]),
    decimal.Decimal: lambda value: _ext(_Code.DECIMAL, str(value)),
    uuid.UUID: lambda value: _ext(_Code.UUID, value.bytes),
}

_CONTAINER_WRITERS: dict[type, Callable[[_Rewriter, Any, str, int], Any]] = {
    list: _Rewriter._write_list,
    tuple: _Rewriter._write_tuple,
    set: _Rewriter._write_set,
    frozenset: _Rewriter._write_set,
    dict: _Rewriter._write_dict,
}


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _is_registrable(cls: type) -> bool:
    if dataclasses.is_dataclass(cls) or _is_named_tuple(cls):
        return True
    return issubclass(cls, (msgspec.Struct, enum.Enum, Exception))


def _content(value: Any) -> Any:
    """What is stored of an instance of a registered class: fields by name, or a flag's value, or a member's name."""
    if isinstance(value, enum.Flag):
        return value.value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if _is_named_tuple(type(value)):
        return value._asdict()
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if hasattr(value, f.name)}


def _rebuild(cls: type, name: str, content: Any) -> Any:
    try:
        if issubclass(cls, enum.Enum):
            return cls(content) if issubclass(cls, enum.Flag) else cls[content]
        if issubclass(cls, msgspec.Struct):
            known = {field.name for field in msgspec.structs.fields(cls)}
            return cls(**{key: item for key, item in content.items() if key in known})
        if _is_named_tuple(cls):
            return cast(Any, cls)(**{key: item for key, item in content.items() if key in cast(Any, cls)._fields})
        return _rebuild_dataclass(cls, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnserialisableError(
            f"a stored {name} does not fit the class {cls.__qualname__} any more: {error}"
        ) from error


def _rebuild_dataclass(cls: Any, content: dict[str, Any]) -> Any:
    instance = cls.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in content:
            item = content[field.name]
        elif field.default is not dataclasses.MISSING:
            item = field.default
        elif field.default_factory is not dataclasses.MISSING:
            item = field.default_factory()
        else:
            raise ValueError(f"it has no {field.name!r}, and that field has no default")
        object.__setattr__(instance, field.name, item)
    return instance


def _describe(value: object) -> str:
    return f"the class {value.__qualname__}" if isinstance(value, type) else f"{type(value).__name__} {value!r:.80}"


def _refusal(value: object) -> str:
    """Why a value is not carried, and what to do about it."""
    kind = type(value)
    if inspect.iscoroutine(value) or inspect.isawaitable(value):
        return f"{kind.__name__} is not a value; await it first"
    if callable(value):
        return f"{_describe(value)} is code, and only values are stored"
    if _is_registrable(kind):
        return f"{kind.__qualname__} is not registered; use @roost.register"
    for base in (dict, list, tuple, set, frozenset, str, int, float, bytes):
        if isinstance(value, base):
            return f"{kind.__qualname__} is a subclass of {base.__name__}; store {base.__name__}(value) instead"
    return f"{kind.__qualname__} is not carried; store plain values, or make it a dataclass and use @roost.register"


_default = Codec()
register = _default.register
encode = _default.encode
decode = _default.decode
