"""The body of a request or response.

(1) A body is read once, by whichever method; a second reading raises InvalidStateError.
(2) A body that is whole in memory never waits: `buffered` shows it without reading it.
(3) A streamed body is read at the reader's speed. What comes over the link is bounded by the window: the sender may
    have so many bytes under way, and gets credit back (`on_consumed`) as they are read.
(4) A reader that stops early tells the source (`aclose`), so that nothing is produced for nobody.
(5) A body that broke off raises where it is read; it never looks like a complete one.
"""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, overload

from roost.errors import InvalidArgumentError, InvalidStateError, LimitExceededError, WrongTypeError
from roost.json_text import decode_json
from roost.limits import DEFAULTS

T = TypeVar("T")

CLONE_LAG_BYTES_MAX = 16 * 1024 * 1024
"""What is kept for the slower reader of a cloned body. No setting: bodies are cloned where no settings are at hand."""

Chunk: TypeAlias = "bytes | bytearray | memoryview | str"
BodySource: TypeAlias = "Body | Chunk | AsyncIterable[Chunk] | Iterable[Chunk] | None"
"""What a body can be made of. Text is sent as UTF-8."""
_WHOLE = (bytes, str, bytearray, memoryview)  # written out as a union, it would be made anew for each body


class Body:
    """Bytes that are read once: whole (`bytes`, `text`, `json`) or as they come (`stream`)."""

    __slots__ = ("_buffer", "_chunks", "used")

    def __init__(self, source: BodySource = None) -> None:
        self.used = False
        """Whether it was read, or is being read."""
        self._buffer: builtins.bytes | None = None
        self._chunks: BodyReader | None = None
        if source is None:
            self._buffer = b""
        elif isinstance(source, _WHOLE):
            self._buffer = _to_bytes(source)
        elif isinstance(source, Body):
            self._take_over(source)
        else:
            self._chunks = BodyReader(source)

    def _take_over(self, other: Body) -> None:
        other._use()
        self._buffer, self._chunks = other._buffer, other._chunks

    @property
    def buffered(self) -> builtins.bytes | None:
        """The whole body, where it is in memory already; else None. Looking does not read it."""
        return self._buffer

    async def bytes(self) -> builtins.bytes:
        """All of it. Raises InvalidStateError when it was read before."""
        self._use()
        if self._chunks is None:
            return self._buffer or b""
        return b"".join([chunk async for chunk in self._chunks])

    async def text(self, encoding: str = "utf-8") -> str:
        """All of it as text. Raises InvalidArgumentError when it is not in that encoding."""
        raw = await self.bytes()
        try:
            return raw.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(f"the body is not {encoding} at byte {error.start}: {error.reason}") from error
        except LookupError as error:
            raise InvalidArgumentError(f"no encoding is called {encoding!r}") from error

    @overload
    async def json(self) -> Any: ...
    @overload
    async def json(self, kind: type[T]) -> T: ...
    async def json(self, kind: Any = Any) -> Any:
        """The value of it, read as JSON, and of the type `kind` where one is given (a dataclass, Struct, TypedDict,
        `list[int]`, …).

        Raises InvalidArgumentError that says at which byte or path it is wrong.
        """
        return decode_json(await self.bytes(), kind, "the body")

    def stream(self) -> BodyReader:
        """Its chunks as they come: `async for chunk in body.stream()`."""
        self._use()
        if self._chunks is None:
            return BodyReader(_one(self._buffer))
        return self._chunks

    def take_buffered(self, most: int) -> builtins.bytes | None:
        """All of it, which counts as read then, where it is in memory and has at most so many bytes; else None.

        Raises InvalidStateError when it was read before.
        """
        whole = self._buffer
        if whole is None or len(whole) > most:
            return None
        self._use()
        return whole

    def clone(self) -> Body:
        """A second body with the same bytes, read independently. Raises InvalidStateError when it was read before.

        What one of the two has read is kept for the other, up to 16 MiB; beyond it the slower one fails.
        """
        if self.used:
            raise InvalidStateError("body already read: clone it before reading it")
        twin = Body(self._buffer)
        if self._chunks is not None:
            left, right = _tee(self._chunks)
            self._chunks = BodyReader(left)
            twin._buffer, twin._chunks = None, BodyReader(right)
        return twin

    async def discard(self) -> None:
        """Let it go unread, so that its source stops; one that is being read is left alone."""
        if not self.used:
            self.used = True
            if self._chunks is not None:
                await self._chunks.aclose()

    def _use(self) -> None:
        if self.used:
            raise InvalidStateError("body already read: it can be read once; clone() before reading gives a second one")
        self.used = True

    def __repr__(self) -> str:
        size = "streamed" if self._buffer is None else f"{len(self._buffer)} bytes"
        return f"<Body {size}{', read' if self.used else ''}>"


class BodyReader:
    """Non-empty chunks of bytes out of any source of chunks, sync or async. `aclose` lets the source go early."""

    __slots__ = ("_next", "_source")

    def __init__(self, source: AsyncIterable[Chunk] | Iterable[Chunk]) -> None:
        if isinstance(source, Mapping):
            raise WrongTypeError(f"a body cannot be a {type(source).__name__}; use json to send one")
        self._source = _to_async(source)
        self._next: Callable[[], Awaitable[Chunk]] = self._source.__anext__

    def __aiter__(self) -> BodyReader:
        return self

    async def __anext__(self) -> bytes:
        while True:
            chunk = _to_bytes(await self._next())
            if chunk:
                return chunk

    async def aclose(self) -> None:
        """No more will be read."""
        if (aclose := getattr(self._source, "aclose", None)) is not None:
            await aclose()


class BodyStream:
    """A body that is fed from elsewhere, such as the link: `feed`, then `end` or `fail`; read with `async for`, by one
    reader.

    `window` bounds what waits unread. `on_consumed(n)` is called as bytes are read, `on_closed()` once when the reader
    stops early.
    """

    __slots__ = ("_chunks", "_closed", "_error", "_finished", "_on_closed", "_on_consumed", "_waiter", "size", "window")

    def __init__(
        self,
        *,
        window: int = DEFAULTS.body_window_bytes,
        on_consumed: Callable[[int], None] | None = None,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        self.window = window
        self.size = 0
        """Bytes that wait to be read."""
        self._chunks: deque[bytes] = deque()
        self._on_consumed = on_consumed
        self._on_closed = on_closed
        self._finished = False
        self._closed = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more can be fed: it ended, failed, or its reader went away."""
        return self._finished or self._closed

    def feed(self, data: bytes) -> None:
        """More of the body. After the reader went away it is dropped.

        Raises LimitExceededError when more would wait than the window allows: the sender went beyond its credit.
        """
        if self._closed:
            return
        if self._finished:
            raise InvalidStateError("the body was ended, nothing can follow")
        if self.size + len(data) > self.window:
            raise LimitExceededError(
                f"{self.size + len(data)} bytes of a body wait unread, {self.window} are allowed",
                limit=self.window,
                actual=self.size + len(data),
            )
        if data:
            self._chunks.append(data)
            self.size += len(data)
            self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._finished = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The body broke off: the reader gets the error behind what was fed."""
        if not self._finished:
            self._finished = True
            self._error = error
            self._wake()

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._finished or self._closed:
                raise StopAsyncIteration
            await self._fed()
        chunk = self._chunks.popleft()
        self.size -= len(chunk)
        if self._on_consumed is not None:
            self._on_consumed(len(chunk))
        return chunk

    async def aclose(self) -> None:
        """The reader goes away: what waits is dropped, and the sender is told if it was not through."""
        if self._closed:
            return
        unfinished = not self._finished
        self._closed = True
        self._chunks.clear()
        self.size = 0
        self._wake()
        if unfinished and self._on_closed is not None:
            self._on_closed()

    async def _fed(self) -> None:
        if self._waiter is not None:
            raise InvalidStateError("the body is being read by somebody else")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Tee:
    """One source, two readers: what one has read waits for the other."""

    def __init__(self, source: BodyReader, lag_max: int) -> None:
        self.source = source
        self.lag_max = lag_max
        self.branches: list[_Branch] = []
        self.reading = asyncio.Lock()
        self.end: BaseException | None = None

    async def pull(self, reader: _Branch) -> None:
        """Read one chunk for all branches, unless somebody else just did."""
        async with self.reading:
            if reader.ready():
                return
            try:
                chunk = await anext(self.source)
            except Exception as error:  # noqa: BLE001 - StopAsyncIteration or a failure: each reader gets it
                self.end = error
            except BaseException:
                # The source was torn out of its step, so whether more would have come is unknown.
                self.end = InvalidStateError("the reading of the other copy of this body was cancelled")
                raise
            else:
                for branch in self.branches.copy():
                    branch.put(chunk, self.lag_max)

    async def leave(self, branch: _Branch) -> None:
        if branch in self.branches:
            self.branches.remove(branch)
            if not self.branches:
                await self.source.aclose()


class _Branch:
    """One of the two readers of a cloned body."""

    def __init__(self, tee: _Tee) -> None:
        self._tee = tee
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._error: Exception | None = None
        tee.branches.append(self)

    def ready(self) -> bool:
        return bool(self._chunks) or self._error is not None or self._tee.end is not None

    def put(self, chunk: bytes, lag_max: int) -> None:
        if self._size + len(chunk) > lag_max:
            self._chunks.clear()
            self._size = 0
            self._error = LimitExceededError(
                f"this copy of the body was not read while {lag_max} bytes of the other one were",
                limit=lag_max,
                actual=lag_max + len(chunk),
            )
            self._tee.branches.remove(self)
            return
        self._chunks.append(chunk)
        self._size += len(chunk)

    def __aiter__(self) -> _Branch:
        return self

    async def __anext__(self) -> bytes:
        if not self.ready():
            await self._tee.pull(self)
        if self._chunks:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            return chunk
        error = self._error or self._tee.end
        assert error is not None, "pull leaves a chunk or an end"
        raise error

    async def aclose(self) -> None:
        self._chunks.clear()
        self._size = 0
        await self._tee.leave(self)


def _tee(source: BodyReader) -> tuple[_Branch, _Branch]:
    tee = _Tee(source, CLONE_LAG_BYTES_MAX)
    return _Branch(tee), _Branch(tee)


class _SyncSource:
    """A plain iterator, read as an async one that never waits."""

    def __init__(self, source: Iterator[Chunk]) -> None:
        self._source = source

    def __aiter__(self) -> _SyncSource:
        return self

    async def __anext__(self) -> Chunk:
        for chunk in self._source:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if (close := getattr(self._source, "close", None)) is not None:
            close()


def _to_async(source: object) -> AsyncIterator[Chunk]:
    if isinstance(source, AsyncIterable):
        return aiter(source)
    if isinstance(source, Iterable):
        return _SyncSource(iter(source))
    raise WrongTypeError(f"a body must be bytes, str, None or a (async) iterable of them, got {type(source).__name__}")


def _one(chunk: bytes | None) -> list[bytes]:
    return [chunk] if chunk else []


def _to_bytes(chunk: Chunk) -> bytes:
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        try:
            return chunk.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(
                f"text with a lone surrogate at {error.start} cannot be sent as UTF-8"
            ) from error
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise WrongTypeError(f"a body is made of bytes or str, got {type(chunk).__name__}")
