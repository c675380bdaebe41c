"""The settings of one system and where they come from.

In rising order: the defaults below, `[tool.roost]` in the nearest pyproject.toml that has that table (from the app's
directory upwards), `ROOST_*` environment variables, flags. Tables (`limits`, `vars`, ...) are merged key by key. Paths
start from where they were written: pyproject.toml's directory, or the working directory for environment and flags.
"""

# What a reader of settings may rely on:
#
#  (1) Every value was checked: it has its type, lies in its range, and every path is absolute.
#  (2) A key that nobody knows is an error that names the key, its source, and the nearest key that exists. In the
#      environment a stranger's `ROOST_SOMETHING` is let be (orchestrators invent such names); a near miss is an error.
#  (3) Settings survive the way to a child process: they are plain values, and JSON carries them without loss.

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta, Struct

from roost.errors import ConfigurationError
from roost.limits import DEFAULTS, Limits

FILE = "pyproject.toml"
APP_FILES = ("app.py", "app/__init__.py", "main.py")
"""Where the app is, in a directory, when nobody says."""
PREFIX = "ROOST_"
PROCESSES_MAX = 256  # of one kind: a typing error must not start ten thousand of them
_NEAR = 0.75  # how alike a stranger in the environment must be, to count as a typing error

Port = Annotated[int, Meta(ge=0, le=65_535)]
Processes = Annotated[int, Meta(ge=1, le=PROCESSES_MAX)]
Text = Annotated[str, Meta(min_length=1)]
LogLevel = Literal["debug", "info", "warning", "error"]


class Assets(Struct, frozen=True, kw_only=True):
    """`[tool.roost.assets]`: static files, served by the gateways and reachable as `env.ASSETS`."""

    directory: str
    index: str = "index.html"
    not_found: str | None = None
    """A file below `directory` that answers, with its status, for what is not there; None: the entrypoint is asked."""


class Tls(Struct, frozen=True, kw_only=True):
    """`[tool.roost.tls]`: certificate chain and private key, both PEM files."""

    certfile: str
    keyfile: str


class Backup(Struct, frozen=True, kw_only=True):
    """`[tool.roost.backup]`: every few seconds, what was committed since goes to `target`."""

    target: str
    """A directory, or `s3://bucket/prefix`; credentials come from the environment, as `AWS_ACCESS_KEY_ID` and so on."""
    every: Annotated[float, Meta(gt=0, le=86_400)] = 5.0
    """Seconds between two shipments: what the loss of the disk can cost."""
    full_every: Annotated[float, Meta(gt=0, le=31_536_000)] = 86_400.0
    """Seconds between two snapshots: what has to be replayed when a backup is led back."""
    keep: Annotated[int, Meta(ge=1)] = 7
    """Snapshots that stay, and all that was shipped since the oldest of them."""
    endpoint: str | None = None
    """Of an S3-compatible service that is not Amazon's: its URL."""
    region: str | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set, with its default; `load` reads and checks it."""

    app: str
    """The Python file with the classes and the entrypoint; `file.py:name` says which entrypoint."""
    data: str
    """The data directory; `.roost` beside the app unless set."""
    host: Text = "127.0.0.1"
    port: Port = 8787
    """0 takes a free one."""
    hosts: Processes = 1
    gateways: Processes = 1
    bindings: dict[str, str] = {}
    """Name in `env` -> class, or `module:Class`. Classes that are not named here have their name in SNAKE_CASE."""
    vars: dict[str, Any] = {}
    """Values that become attributes of `env`."""
    limits: Limits = DEFAULTS
    assets: Assets | None = None
    tls: Tls | None = None
    backup: Backup | None = None
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose `X-Forwarded-*` headers are believed."""
    log_level: LogLevel = "info"
    debug: bool = False
    """Errors go to the client with their traceback. `roost dev` sets it."""
    pyproject: str | None = None
    """The file that `[tool.roost]` was read from."""

    @property
    def app_name(self) -> str:
        """The app as people write it: `app.py`."""
        return self.app.rpartition("/")[2]

    @property
    def app_directory(self) -> Path:
        """The directory that the app lies in: the one around it where the app is a package."""
        return _directory_of(app_file(self.app))


_CLASS = re.compile(r"([^\W\d]\w*(\.[^\W\d]\w*)*:)?[^\W\d]\w*")
_TABLES: dict[str, type[Struct]] = {"limits": Limits, "assets": Assets, "tls": Tls, "backup": Backup}
_OPEN_TABLES = ("bindings", "vars")
_PATHS = {
    ("app",),
    ("data",),
    ("assets", "directory"),
    ("tls", "certfile"),
    ("tls", "keyfile"),
    ("backup", "target"),
}
_URL = "://"
KEYS = tuple(name for name in Settings.__struct_fields__ if name != "pyproject")
_TYPES = get_type_hints(Settings, include_extras=True)
_EXPECTED = {
    "host": "a host name or IP address",
    "port": "a whole number from 0 to 65535",
    "hosts": f"a whole number from 1 to {PROCESSES_MAX}",
    "gateways": f"a whole number from 1 to {PROCESSES_MAX}",
    "log_level": "one of debug, info, warning, error",
    "debug": "true or false",
    "trusted_proxies": "a list of IP addresses or networks, such as ['10.0.0.0/8']",
    "assets.not_found": "the name of a file below assets.directory",
    "backup.target": "a directory, or s3://bucket/prefix",
    "backup.every": "a number of seconds above 0, up to 86400",
    "backup.full_every": "a number of seconds above 0, up to 31536000",
    "backup.keep": "a whole number, 1 or more",
}


class Layer(NamedTuple):
    """One source of settings."""

    source: str
    """As a message names it."""
    values: Mapping[str, Any]
    base: Path
    """What relative paths start from."""
    text: bool = False
    """All values are strings, to be read as what they stand for."""


def load(
    app: str | os.PathLike[str] | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Settings:
    """Read the settings of `app`, a Python file or a directory that holds one; None: of the working directory.

    Raises ConfigurationError, which names the source, the key, what came and what was expected.
    """
    cwd = Path(directory or Path.cwd()).absolute()
    environment = environment_layer(os.environ if environ is None else environ, cwd)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    named = environment.values.get("app") if app is None else app
    start = cwd if named is None else app_file(cwd / named).absolute()
    pyproject = find_pyproject(start)
    if app is not None:
        given |= {"app": str(app)} if not start.is_dir() else _app_within(start, pyproject)
        environment = environment._replace(values={k: v for k, v in environment.values.items() if k != "app"})
    layers = [environment, Layer("the command line", given, cwd)]
    if pyproject is not None:
        layers.insert(0, pyproject_layer(pyproject))
    return _settings(layers, start if start.is_dir() else start.parent, pyproject)


def app_file(app: str | os.PathLike[str]) -> Path:
    """The file of an app: of `app.py:entrypoint`, `app.py`."""
    path, colon, attribute = str(app).rpartition(":")
    return Path(path) if colon and attribute.isidentifier() else Path(app)


def _app_within(directory: Path, pyproject: Path | None) -> dict[str, str]:
    """A directory that was named means the app in it, whatever a pyproject.toml further up says."""
    above = pyproject is None or pyproject.parent != directory
    own = _look_for_app(directory) if above else None
    return {"app": str(own)} if own else {}


def _look_for_app(directory: Path) -> Path | None:
    return next((directory / name for name in APP_FILES if (directory / name).is_file()), None)


def find_pyproject(start: Path) -> Path | None:
    """The nearest pyproject.toml with a `[tool.roost]` table, from `start` (a file or a directory) upwards."""
    for directory in [start, *start.parents]:
        path = directory / FILE
        if path.is_file() and "roost" in _read_toml(path).get("tool", {}):
            return path
    return None


def pyproject_layer(path: Path) -> Layer:
    table = _read_toml(path)["tool"]["roost"]
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: `tool.roost` must be a table, got {table!r}")
    return Layer(str(path), table, path.parent)


def environment_layer(environ: Mapping[str, str], base: Path) -> Layer:
    """`ROOST_PORT` is `port`, `ROOST_LIMITS_IDLE_SECONDS` is `limits.idle_seconds`, `ROOST_VARS_KEY` is `vars.KEY`."""
    values: dict[str, Any] = {}
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX):
            _place(values, name, value)
    return Layer("the environment", values, base, text=True)


def _place(values: dict[str, Any], name: str, value: str) -> None:
    key = name.removeprefix(PREFIX)
    table, _, inner = key.partition("_")
    if key.lower() in KEYS and key.lower() not in _TABLES and key.lower() not in _OPEN_TABLES:
        values[key.lower()] = value
    elif table.lower() in _OPEN_TABLES and inner:
        values.setdefault(table.lower(), {})[inner] = value
    elif table.lower() in _TABLES and inner.lower() in _TABLES[table.lower()].__struct_fields__:
        values.setdefault(table.lower(), {})[inner.lower()] = value
    else:
        _refuse_near_miss(name)


def _refuse_near_miss(name: str) -> None:
    known = [f"{PREFIX}{key}".upper() for key in KEYS if key not in _TABLES and key not in _OPEN_TABLES]
    known += [f"{PREFIX}{t}_{key}".upper() for t, struct in _TABLES.items() for key in struct.__struct_fields__]
    near = difflib.get_close_matches(
        name.upper().removeprefix(PREFIX), [k.removeprefix(PREFIX) for k in known], 1, _NEAR
    )
    if near:
        raise ConfigurationError(f"the environment: {name} is not a setting; did you mean {PREFIX}{near[0]}?")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


# -- merging and checking ----------------------------------------------------------------------------------------------


def _settings(layers: Iterable[Layer], directory: Path, pyproject: Path | None) -> Settings:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            _check_known(key, KEYS, layer.source, "")
            if key in _TABLES or key in _OPEN_TABLES:
                merged[key] = merged.get(key, {}) | _read_table(key, value, layer)
            else:
                merged[key] = _read_value((key,), value, _TYPES[key], layer)
    merged["app"] = _find_app(merged.get("app"), directory)
    merged["pyproject"] = str(pyproject) if pyproject else None
    merged.setdefault("data", str(_directory_of(app_file(merged["app"])) / ".roost"))
    for key, struct in _TABLES.items():
        if key in merged:
            merged[key] = _build_table(key, struct, merged[key])
    return Settings(**merged)


def _find_app(app: str | None, directory: Path) -> str:
    found = _look_for_app(directory) if app is None else app
    if found is None:
        raise ConfigurationError(
            f"no app: {directory} has none of {', '.join(APP_FILES)}, and nothing names one; "
            "give its path, as in `roost dev path/to/app.py`"
        )
    if not app_file(found).is_file():
        raise ConfigurationError(f"the app {app_file(found)} does not exist; expected the path of a Python file")
    return str(found)


def _directory_of(path: Path) -> Path:
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _read_table(key: str, table: Any, layer: Layer) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{layer.source}: `{key}` must be a table, got {table!r}")
    if key in _OPEN_TABLES:
        return {name: _read_open(key, name, value, layer) for name, value in table.items()}
    types = get_type_hints(_TABLES[key], include_extras=True)
    for name in table:
        _check_known(name, types, layer.source, f"{key}.")
    return {name: _read_value((key, name), value, types[name], layer) for name, value in table.items()}


def _build_table(key: str, struct: type[Struct], values: dict[str, Any]) -> Struct:
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in values:
            raise ConfigurationError(f"`{key}.{field.name}` is missing; `[tool.roost.{key}]` needs it")
    return struct(**values)


def _check_known(key: str, known: Iterable[str], source: str, prefix: str) -> None:
    names = list(known)
    if key not in names:
        near = difflib.get_close_matches(key, names, 1, 0.5)
        hint = f"did you mean `{prefix}{near[0]}`?" if near else f"known are {', '.join(names)}"
        raise ConfigurationError(f"{source}: `{prefix}{key}` is not a setting; {hint}")


def _read_value(path: tuple[str, ...], value: Any, kind: Any, layer: Layer) -> Any:
    key = ".".join(path)
    given = value
    if layer.text and key == "trusted_proxies":
        value = [part.strip() for part in str(value).split(",") if part.strip()]
    try:
        read = msgspec.convert(value, kind, strict=not layer.text)
        _CHECKS.get(path[0], _accept)(read)
    except (msgspec.ValidationError, ValueError) as error:
        expected = _EXPECTED.get(key) or _expected(kind)
        raise ConfigurationError(f"{layer.source}: `{key}` must be {expected}, got {given!r}") from error
    return str((layer.base / read).absolute()) if path in _PATHS and _URL not in read else read


def _expected(kind: Any) -> str:
    return {int: "a whole number, 0 or more", float: "a number, 0 or more"}.get(kind, "a text that is not empty")


def _read_open(key: str, name: str, value: Any, layer: Layer) -> Any:
    if not name.isidentifier():
        raise ConfigurationError(
            f"{layer.source}: `{key}.{name}` must be a Python name, since it is read as env.{name}"
        )
    if key == "bindings" and not (isinstance(value, str) and _CLASS.fullmatch(value)):
        raise ConfigurationError(
            f"{layer.source}: `{key}.{name}` must be the name of a class, or `module:Class`, got {value!r}"
        )
    if not _is_plain(value):
        raise ConfigurationError(
            f"{layer.source}: `{key}.{name}` must be made of text, finite numbers, booleans, lists and tables; "
            f"write {value!r} as a text"
        )
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _accept(value: Any) -> None:
    pass


def _check_number(value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(value)


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        ipaddress.ip_network(network, strict=False)


def _check_text(text: Any) -> None:
    if isinstance(text, str) and (not text or "\0" in text):
        raise ValueError(text)


def _check_backup(value: Any) -> None:
    _check_text(value)
    if isinstance(value, str) and _URL in value and not value.startswith(("s3://", "http://", "https://")):
        raise ValueError(value)


_CHECKS: dict[str, Callable[[Any], None]] = {
    "limits": _check_number,
    "trusted_proxies": _check_networks,
    "host": _check_text,
    "app": _check_text,
    "data": _check_text,
    "assets": _check_text,
    "tls": _check_text,
    "backup": _check_backup,
}
