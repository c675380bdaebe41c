# The schema of an object, brought up to date step by step.
#
#  (1) A step runs once for each object, in order, ever: the database keeps which have run. One more is the only change
#      that a list may undergo. That a step which ran is another now, or is gone, is an error, and nothing runs.
#  (2) Each step is a transaction of its own, and the note that it ran is part of it.
#  (3) Steps of SQL and plain functions have run when `migrate` returns. From the first async function on, the rest runs
#      as under `block_concurrency_while`: no event is delivered before it is through.
#  (4) A step that raises leaves those before it done, and none after it begins.
"""`ctx.storage.migrate`."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from roost.errors import InvalidArgumentError, InvalidStateError, MigrationError, WrongTypeError
from roost.storage.arguments import takes_argument
from roost.storage.gate import Gate
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready

if TYPE_CHECKING:
    from roost.storage.storage import Storage

Step = str | Callable[..., Any]

_TABLE = """
    CREATE TABLE IF NOT EXISTS _roost_migrations (
        name TEXT, step INTEGER, digest TEXT NOT NULL, label TEXT NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (name, step)
    ) WITHOUT ROWID
"""
_THERE = "SELECT 1 FROM sqlite_schema WHERE name = '_roost_migrations'"
_DONE = "SELECT digest, label FROM _roost_migrations WHERE name = ? ORDER BY step"
_NOTE = "INSERT INTO _roost_migrations VALUES (?, ?, ?, ?, ?)"


class NumberedStep(msgspec.Struct, frozen=True):
    """One step of a list, and how it is known again."""

    number: int
    run: Step
    digest: str
    label: str
    """The beginning of its text, or its name."""

    @property
    def is_async(self) -> bool:
        """Whether it has to be awaited."""
        return inspect.iscoroutinefunction(self.run)


class Done(msgspec.Struct, frozen=True):
    """A step that a database had."""

    digest: str
    label: str


def numbered(steps: object) -> list[NumberedStep]:
    """The steps of a list. Raises UsageError for what is none."""
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise WrongTypeError(f"migrate takes a list of steps, got {type(steps).__name__}")
    return [_numbered(number, step) for number, step in enumerate(steps, 1)]


def _numbered(number: int, step: object) -> NumberedStep:
    if isinstance(step, str):
        text = " ".join(step.split())  # indented otherwise it is the same step
        return NumberedStep(number, step, _digest(f"sql {text}"), text[:60])
    if not callable(step):
        raise WrongTypeError(f"step {number} of migrate must be SQL or a function, got {type(step).__name__}")
    name = getattr(step, "__name__", "")
    if not name or name == "<lambda>":
        raise InvalidArgumentError(
            f"step {number} of migrate is known again by its name, and this one has none: write a function with def"
        )
    return NumberedStep(number, step, _digest(f"function {name}"), f"{name}()")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def outstanding(steps: Sequence[NumberedStep], done: Sequence[Done]) -> Sequence[NumberedStep]:
    """The steps that have not run yet. Raises MigrationError when the others are not those that have."""
    if len(steps) < len(done):
        raise MigrationError(
            f"this database had {len(done)} steps, and the list has {len(steps)}: a step that ran stays in the list; "
            f"missing is step {len(steps) + 1}: {done[len(steps)].label}"
        )
    for step, had in zip(steps, done, strict=False):
        if step.digest != had.digest:
            raise MigrationError(
                f"step {step.number} was another when this database had it: a step that ran never changes, add a new "
                f"one at the end instead. It was: {had.label}; it is: {step.label}"
            )
    return steps[len(done) :]


class Migrations:
    """Runs the steps of one object that have not run yet."""

    def __init__(self, storage: Storage, handle: ObjectStorage, gate: Gate, seconds_max: float) -> None:
        self._storage = storage
        self._handle = handle
        self._gate = gate
        self._seconds_max = seconds_max

    def run(self, steps: object, name: str) -> Awaitable[None]:
        """Run what is outstanding; see (3) for when. What is returned is done when all have run."""
        if not isinstance(name, str):
            raise WrongTypeError(f"the name of a list of steps must be a str, got {type(name).__name__}")
        if self._handle.depth:
            raise InvalidStateError("migrate cannot be called inside a transaction: each step is one of its own")
        left = list(outstanding(numbered(steps), self._done(name)))
        while left and not left[0].is_async:
            self._run_plain(name, left.pop(0))
        if not left:
            return _DONE_ALREADY

        async def rest() -> None:
            await self._run_rest(name, left)

        rest.__qualname__ = "ctx.storage.migrate"  # what a section is called in errors
        return self._gate.block_concurrency_while(rest)

    def _done(self, name: str) -> list[Done]:
        def read(connection: apsw.Connection) -> list[Done]:
            there = connection.execute(_THERE).get
            return [Done(*row) for row in connection.execute(_DONE, (name,))] if there else []

        return self._handle.read(read) or []

    def _run_plain(self, name: str, step: NumberedStep) -> None:
        def run() -> None:
            with self._storage.sql.patience(self._seconds_max):
                self._call(step)
            self._note(name, step)

        _noting(step, lambda: self._storage.transaction_sync(run))

    async def _run_rest(self, name: str, steps: list[NumberedStep]) -> None:
        for step in steps:
            if not step.is_async:
                self._run_plain(name, step)
                continue

            async def run(step: NumberedStep = step) -> None:
                with self._storage.sql.patience(self._seconds_max):
                    await self._call(step)
                self._note(name, step)

            try:
                await self._storage.transaction(run)
            except BaseException as error:
                error.add_note(_note_of(step))
                raise

    def _call(self, step: NumberedStep) -> Any:
        """Run it; what an async function returns is to be awaited."""
        if isinstance(step.run, str):
            return self._storage.sql.exec(step.run).to_array()
        result = step.run(self._storage) if takes_argument(step.run) else step.run()
        if inspect.isawaitable(result) and not step.is_async:
            if inspect.iscoroutine(result):
                result.close()
            raise WrongTypeError(f"{step.label} returned something to await: write it with async def")
        return result

    def _note(self, name: str, step: NumberedStep) -> None:
        row = (name, step.number, step.digest, step.label, self._handle.now_ms())

        def note(connection: apsw.Connection) -> None:
            connection.execute(_TABLE)
            connection.execute(_NOTE, row)

        self._handle.write(note)


def _noting(step: NumberedStep, run: Callable[[], None]) -> None:
    try:
        run()
    except BaseException as error:
        error.add_note(_note_of(step))
        raise


def _note_of(step: NumberedStep) -> str:
    return f"in step {step.number} of ctx.storage.migrate: {step.label}"


_DONE_ALREADY: Ready[None] = Ready(None)
