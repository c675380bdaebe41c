"""Every error that roost raises, in one tree, named by who can act on it.

    RoostError
    ├── UsageError                  the caller was wrong: change the code or the value
    │   ├── InvalidArgumentError    a value of the wrong kind, or outside its range    (also a ValueError)
    │   ├── WrongTypeError          a value of the wrong type                          (also a TypeError)
    │   ├── LimitExceededError      a value above a documented limit                   (also a ValueError)
    │   ├── UnserialisableError     a value that the codec does not carry              (also a TypeError)
    │   ├── InvalidStateError       a call that the object or socket cannot take now
    │   ├── IntegerRangeError       an int that does not fit into 64 bits              (also an OverflowError)
    │   ├── SQLError                SQLite refused a statement; `.code_name` is its name for the reason
    │   │   ├── SQLConstraintError  UNIQUE, NOT NULL, CHECK, FOREIGN KEY or a trigger refused it
    │   │   ├── SQLForbiddenError   a statement, function or table that objects may not use
    │   │   ├── SQLTimeoutError     it took too long
    │   │   ├── SQLTooLargeError    a value, a result or what SQLite needed for it was too large
    │   │   └── SQLRowError         the rows are not what was asked for: `one()`, `row_type`
    │   ├── MigrationError          the steps of `storage.migrate` are not those that the database had
    │   ├── UnknownBindingError     `env` has no such name                             (also an AttributeError)
    │   └── ConfigurationError      configuration or command line
    │       └── AppLoadError        the user's module does not import, or holds no app
    ├── ObjectError                 the object failed; its memory is gone, its storage and sockets are not
    │   ├── ConstructionError       `__init__`, or what it ran under `block_concurrency_while`, raised
    │   ├── ObjectResetError        the activation ended while the call was under way
    │   ├── InputGateBrokenError    a critical section raised or took too long
    │   ├── OutputGateBrokenError   a write could not be made durable; nothing held was sent
    │   └── RemoteError             an object on another host raised an error of the app's own
    ├── StorageError                a database or the journal failed
    │   ├── TurnRolledBackError     SQLite rolled the turn back: a deferred constraint, an interrupted write
    │   ├── StorageFullError        no space left, or the object's size limit was reached
    │   ├── StorageCorruptError     a file does not check out
    │   ├── HistoryError            the past that was asked for is not kept (any more)
    │   └── DataDirectoryError      the data directory cannot be used (permissions, in use, newer format)
    ├── BackupError                 a backup cannot be made, read or led back; `retryable` where a later try may succeed
    ├── LinkError                   the other end of a link does not speak our protocol, or broke off inside a batch
    └── UnavailableError            come back later: `retryable` is true
        ├── OverloadedError         too much at once: `overloaded` is true, `retryable` is not
        ├── HostLostError           the host that ran the object went away before it answered
        ├── ClientGoneError         the client went away before its request's body was complete
        └── NetworkError            what `fetch` asked of the network did not come

`retryable` says that the same call may succeed later and was not applied; `overloaded` that retrying makes it worse.
"""

from __future__ import annotations


class RoostError(Exception):
    """The root of everything that roost raises on purpose."""

    retryable = False
    overloaded = False


class UsageError(RoostError):
    """The caller was wrong; the message says what came and what was expected."""


class InvalidArgumentError(UsageError, ValueError):
    """A value outside of what is allowed."""


class WrongTypeError(UsageError, TypeError):
    """A value of the wrong type."""


class LimitExceededError(UsageError, ValueError):
    """A value above a documented limit.

    Attributes: `limit` and `actual`, in the unit that the message names.
    """

    def __init__(self, message: str, *, limit: int, actual: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.actual = actual


class UnserialisableError(UsageError, TypeError):
    """A value that the codec does not carry; the message gives the path to it inside the value."""


class InvalidStateError(UsageError):
    """A call that cannot be taken in the present state, such as `send` after `close`."""


class IntegerRangeError(UsageError, OverflowError):
    """An int that does not fit into the 64 bits of SQLite's integers; the message has its value."""


class SQLError(UsageError):
    """SQLite refused a statement; the object goes on, and what it wrote before stays.

    Attributes: `code_name`, SQLite's name for the reason, such as `SQLITE_CONSTRAINT_UNIQUE`; empty where it has none.
    """

    code_name = ""

    def __init__(self, message: str, code_name: str = "") -> None:
        super().__init__(message)
        self.code_name = code_name


class SQLConstraintError(SQLError):
    """A constraint refused the statement (UNIQUE, NOT NULL, CHECK, FOREIGN KEY, a trigger); nothing of it was done."""


class SQLForbiddenError(SQLError):
    """A statement, function, PRAGMA or table that objects may not use; the message says what to use instead."""


class SQLTimeoutError(SQLError):
    """A statement took longer than `sql_seconds_max`, and was interrupted."""


class SQLTooLargeError(SQLError):
    """A value, a result, or the memory that SQLite needed for a statement, is above its limit."""


class SQLRowError(SQLError):
    """The rows are not what was asked for: not one row for `one()`, or columns that do not fit the `row_type`."""


class MigrationError(UsageError):
    """The steps of `storage.migrate` are not those that this database had: one was changed, removed or moved."""


class UnknownBindingError(UsageError, AttributeError):
    """`env` holds no binding of that name; the message lists those it has."""


class ConfigurationError(UsageError):
    """A setting in pyproject.toml, the environment or the command line is wrong."""


class AppLoadError(ConfigurationError):
    """The user's module does not import, or holds nothing that roost could run."""


class ObjectError(RoostError):
    """The object failed while it handled the event."""


class ConstructionError(ObjectError):
    """The object's constructor raised; `__cause__` is what it raised."""


class ObjectResetError(ObjectError):
    """The activation ended before the event was finished; whether it was applied is unknown."""


class InputGateBrokenError(ObjectError):
    """A function under `block_concurrency_while` raised or took longer than allowed; the object was reset."""


class OutputGateBrokenError(ObjectError):
    """A write could not be made durable, so nothing that was made after it has left the object."""


class RemoteError(ObjectError):
    """An object on another host raised an error whose class is not roost's.

    Attributes: `kind`, the name of its class there; `remote_message`; `remote_traceback`, as Python printed it there.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        remote_traceback: str = "",
        *,
        retryable: bool = False,
        overloaded: bool = False,
    ) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.remote_message = message
        self.remote_traceback = remote_traceback
        self.retryable = retryable
        self.overloaded = overloaded
        if remote_traceback:
            self.add_note(f"on the object's host:\n{remote_traceback}")


class StorageError(RoostError):
    """A database or the journal failed; the object starts anew from what is durable."""


class TurnRolledBackError(StorageError):
    """SQLite rolled back all that the turn wrote: a constraint failed at its end, or a write was interrupted."""


class StorageFullError(StorageError):
    """No space is left on the device, or the object's database reached its size limit."""


class StorageCorruptError(StorageError):
    """A file of the data directory does not check out; the message names it."""


class DataDirectoryError(StorageError):
    """The data directory cannot be used: not writable, used by another roost, or of a newer format."""


class HistoryError(StorageError):
    """The past that was asked for is not kept, or not any more.

    Attribute: `earliest_ms`, from when on it is kept, in milliseconds since the epoch; None where nothing is.
    """

    def __init__(self, message: str, *, earliest_ms: int | None = None) -> None:
        super().__init__(message)
        self.earliest_ms = earliest_ms


class BackupError(RoostError):
    """A backup cannot be made, read or led back; the message says what stands in the way."""


class LinkError(RoostError):
    """What came over a link is no batch of frames of our version; the link was dropped and will be made anew."""


class UnavailableError(RoostError):
    """Nothing was applied; the same call may succeed a moment later."""

    retryable = True


class OverloadedError(UnavailableError):
    """The object or host has more waiting than it may hold."""

    retryable = False
    overloaded = True


class HostLostError(UnavailableError):
    """The host that ran the object went away before it answered; whether it was applied is unknown."""

    retryable = False


class ClientGoneError(UnavailableError):
    """The client went away before the body of its request was complete."""

    retryable = False


class NetworkError(UnavailableError):
    """A server on the network cannot be reached, broke off, or redirected where it must not; `__cause__` says more.

    `retryable` is true when no connection was made, so that it was certainly not asked.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class DurableObjectAbort(BaseException):
    """What `ctx.abort` raises: outside of the tree, so that `except Exception` does not swallow it."""
