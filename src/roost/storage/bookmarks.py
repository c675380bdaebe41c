# `ctx.storage`: bookmarks, the points of an object's past.
#
#  (1) A bookmark names a commit of one object. Compared as strings, bookmarks of an object stand in the order of time.
#  (2) A bookmark means the last commit up to the one that it names. So one can be given for a moment between commits,
#      and for the end of a life that is still going on.
#  (3) Nothing is restored while the object lives: its next life begins with what it held then. What leads back is the
#      bookmark that the call returns, of what the object will hold last before that.
"""Bookmarks: how they are written, and the calls about them."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from roost.errors import HistoryError, InvalidArgumentError, InvalidStateError, WrongTypeError
from roost.ids import ObjectId, typed
from roost.storage.gate import Gate
from roost.storage.object_storage import ObjectStorage
from roost.storage.recovery.rewinder import Rewinder

T = TypeVar("T")

_BOOKMARK = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{32})")
_FORMAT = 1
_KEY_BYTES = 16


def bookmark_of(object_id: ObjectId, commit: int) -> str:
    """The bookmark of an object's commit."""
    return f"{commit >> 32:08x}-{commit & 0xFFFFFFFF:08x}-{_FORMAT:08x}-{object_id.key[:_KEY_BYTES].hex()}"


def commit_of(bookmark: object, object_id: ObjectId) -> int:
    """The number of the commit that an object's bookmark names.

    Raises WrongTypeError when it is no string, InvalidArgumentError when it is no bookmark, or of another object.
    """
    if not isinstance(bookmark, str):
        raise WrongTypeError(f"a bookmark is a str, got {type(bookmark).__name__}")
    found = _BOOKMARK.fullmatch(bookmark)
    if found is None:
        raise InvalidArgumentError(
            f"{bookmark[:80]!r} is no bookmark: groups of 8, 8, 8 and 32 hexadecimal digits are expected"
        )
    high, low, form, key = found.groups()
    if int(form, 16) != _FORMAT:
        raise InvalidArgumentError(f"the bookmark {bookmark} has form {int(form, 16)}; this roost knows form {_FORMAT}")
    if bytes.fromhex(key) != object_id.key[:_KEY_BYTES]:
        raise InvalidArgumentError(f"the bookmark {bookmark} is of another object than {typed(object_id)}")
    return int(high + low, 16)


def past_ms(when: object, now_ms: int) -> int:
    """The moment that is meant, in milliseconds since the epoch. It must not lie in the future.

    Raises WrongTypeError for what is neither int nor datetime, InvalidArgumentError for a datetime without a time zone
    and for a moment before the epoch or in the future.
    """
    if isinstance(when, datetime.datetime):
        if when.tzinfo is None or when.utcoffset() is None:
            raise InvalidArgumentError(f"the datetime {when} has no time zone: give it one, such as datetime.UTC")
        since = when - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        moment = since // datetime.timedelta(milliseconds=1)
    elif isinstance(when, int) and not isinstance(when, bool):
        moment = when
    else:
        kinds = "an int of milliseconds since the epoch or a datetime with a time zone"
        raise WrongTypeError(f"a time is {kinds}, got {type(when).__name__}")
    if moment < 0:
        raise InvalidArgumentError(f"{when} lies before the epoch")
    if moment > now_ms:
        raise InvalidArgumentError(f"{when} lies in the future, of which there is no bookmark")
    return moment


class BookmarkCalls:
    """Base of Storage."""

    _storage: ObjectStorage
    _gate: Gate
    sync: Callable[[], Coroutine[Any, Any, None]]

    async def get_current_bookmark(self) -> str:
        """The bookmark of what is stored now, the writes of this turn included.

        Raises InvalidStateError inside a transaction, whose writes are made when it ends.
        """
        self._check_no_transaction()
        if self._storage.uncommitted:
            await self.sync()
        return bookmark_of(self._storage.object_id, self._storage.position)

    async def get_bookmark_for_time(self, when: int | datetime.datetime) -> str:
        """The bookmark of what was stored at a time: milliseconds since the epoch, or a datetime with a time zone.

        Raises HistoryError, which names the earliest possible time, when that is not known any more. No other event is
        delivered while it is looked up, which may take a moment.
        """
        storage = self._storage
        moment = past_ms(when, storage.now_ms())
        past = self._past()
        self._check_no_transaction()
        if not storage.durable:
            await self.sync()  # what was made just now is looked for on the disk
        commit = await self._aside(lambda: past.commit_at(storage.object_id, moment))
        return bookmark_of(storage.object_id, commit)

    async def on_next_session_restore_bookmark(self, bookmark: str) -> str:
        """Have the object's next life begin with what it held at a bookmark; a bookmark that leads back from there.

        Nothing happens before the object begins anew: call `ctx.abort` next. All that is stored goes back, alarms
        included. What is written until then is kept in the object's history: the bookmark that is returned is of what
        the object holds last before it goes back. Calling it again takes the place of the call before.

        Raises InvalidArgumentError when it is no bookmark of this object, HistoryError, which names the earliest
        possible time, when what it held then is not known any more.
        """
        storage = self._storage
        commit = commit_of(bookmark, storage.object_id)
        past = self._past()
        await self._aside(lambda: past.check(storage.object_id, commit))
        return bookmark_of(storage.object_id, storage.plan_restore(commit) - 1)

    def _past(self) -> Rewinder:
        past = self._storage.past
        if past is None:
            raise HistoryError("no history is kept where this object lives")
        return past

    def _check_no_transaction(self) -> None:
        if self._storage.depth:
            raise InvalidStateError("there is no bookmark inside a transaction: its writes are made when it ends")

    async def _aside(self, function: Callable[[], T]) -> T:
        """Run something slow on a thread, with the input gate closed."""
        future = asyncio.get_running_loop().run_in_executor(None, function)
        return await self._gate.wait_for_storage(future)
