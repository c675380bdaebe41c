# A bucket of any service that speaks S3, through obstore (the optional extra `roost[s3]`).
#
#  (1) Credentials come from the environment (AWS_ACCESS_KEY_ID and so on), a web identity or the machine's role, as
#      everywhere else; never from roost's settings.
#  (2) One request may take so long, and is tried so often, that a short outage passes unnoticed; a longer one is told,
#      and whoever ships tries again.
#  (3) A writer whose block raised is dropped without being closed: an object of S3 is there only once it was completed.
"""The driver of a target for S3."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from roost.backup.target import MissingError, Sink, TargetUnavailableError
from roost.errors import BackupError, ConfigurationError

if TYPE_CHECKING:
    from obstore import WritableFile

_PART_BYTES = 16 * 1024 * 1024  # of a large object, uploaded on its own; S3 allows 10 000 of them
_READ_BYTES = 4 * 1024 * 1024
_REMOVE_MAX = 500  # by one request
_RETRY = {"max_retries": 4, "retry_timeout": datetime.timedelta(seconds=30)}
_CLIENT = {"connect_timeout": datetime.timedelta(seconds=5), "timeout": datetime.timedelta(seconds=60)}


class S3Target:
    """A bucket, or the part of one below a prefix. Raises ConfigurationError when obstore is missing."""

    def __init__(self, url: str, *, endpoint: str | None = None, region: str | None = None) -> None:
        self.title = url.rstrip("/")
        bucket, _, prefix = self.title.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigurationError(f"the target {url!r} names no bucket; expected s3://bucket/prefix")
        self._obstore, store = _library()
        client = _CLIENT | ({"allow_http": True} if endpoint and endpoint.startswith("http://") else {})
        config = {key: value for key, value in (("endpoint", endpoint), ("region", region)) if value}
        self._store = store.S3Store(bucket, prefix=prefix or None, client_options=client, retry_config=_RETRY, **config)

    @contextlib.contextmanager
    def write(self, name: str) -> Iterator[Sink]:
        with self._translated(name):
            writer = self._obstore.open_writer(self._store, name, buffer_size=_PART_BYTES)
        yield _Writing(self, name, writer)
        with self._translated(name):
            writer.close()

    def stream(self, name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length == 0:
            return
        with self._translated(name):
            options: dict[str, Any] = {} if not start and length is None else {"range": _range(start, length)}
            pieces = iter(self._obstore.get(self._store, name, options=options or None).stream(_READ_BYTES))
        while True:
            with self._translated(name):
                piece = next(pieces, None)
            if piece is None:
                return
            yield bytes(piece)

    def size(self, name: str) -> int:
        with self._translated(name):
            return int(self._obstore.head(self._store, name)["size"])

    def names(self, prefix: str) -> Iterator[str]:
        with self._translated(prefix):
            batches = iter(self._obstore.list(self._store, prefix))
        while True:
            with self._translated(prefix):
                batch = next(batches, None)
            if batch is None:
                return
            for found in batch:
                yield found["path"]

    def remove(self, names: Iterable[str]) -> None:
        doomed = list(names)
        for start in range(0, len(doomed), _REMOVE_MAX):
            with self._translated(doomed[start]), contextlib.suppress(FileNotFoundError):
                self._obstore.delete(self._store, doomed[start : start + _REMOVE_MAX])

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise MissingError(f"{self.title} holds no {name}") from error
        except _refusals(self._obstore) as error:
            raise BackupError(f"{self.title} refuses: {_short(error)}") from error
        except _failures(self._obstore) as error:
            raise TargetUnavailableError(f"{self.title} cannot be reached: {_short(error)}") from error


class _Writing:
    def __init__(self, target: S3Target, name: str, writer: WritableFile) -> None:
        self._target = target
        self._name = name
        self._writer = writer

    def write(self, data: bytes, /) -> None:
        with self._target._translated(self._name):
            self._writer.write(data)


def _library() -> tuple[Any, Any]:
    try:
        import obstore
        from obstore import store
    except ImportError as error:
        raise ConfigurationError(
            'a backup to s3:// needs the library obstore, which is not installed: pip install "roost[s3]"'
        ) from error
    return obstore, store


def _range(start: int, length: int | None) -> Any:
    return {"offset": start} if length is None else (start, start + length)


def _refusals(obstore: Any) -> tuple[type[Exception], ...]:
    """What trying again does not change."""
    kinds = obstore.exceptions
    return (
        kinds.PermissionDeniedError,
        kinds.UnauthenticatedError,
        kinds.InvalidPathError,
        kinds.NotSupportedError,
        ValueError,
    )


def _failures(obstore: Any) -> tuple[type[Exception], ...]:
    return obstore.exceptions.BaseError, OSError


def _short(error: Exception) -> str:
    """Its first line: below it obstore prints the structure of the error."""
    return str(error).strip().partition("\n")[0]
