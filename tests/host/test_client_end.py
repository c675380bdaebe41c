from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from roost.errors import InvalidStateError
from roost.host.client_end import GrantedEnd
from roost.link.frames import ObjectRef, SocketGrant
from roost.response import Response

GRANT = SocketGrant(0, 1, 2, ObjectRef("ROOM", b"k" * 32, "x"), (), True, None, None)


class Opener:
    def __init__(self) -> None:
        self.dropped: list[SocketGrant] = []
        self.sent_on: list[SocketGrant] = []

    def open(self, grant: SocketGrant, *_: Any) -> None:
        raise AssertionError("nobody accepts it here")

    def sent(self, grant: SocketGrant) -> None:
        self.sent_on.append(grant)

    def drop(self, grant: SocketGrant) -> None:
        self.dropped.append(grant)


class Holder:
    def __init__(self) -> None:
        self.drops: list[Callable[[], None]] = []

    def granted(self, grant: SocketGrant, drop: Callable[[], None]) -> None:
        self.drops.append(drop)


async def test_an_end_goes_into_responses_until_it_is_taken() -> None:
    opener, holder = Opener(), Holder()
    end = GrantedEnd.of(GRANT, opener)
    Response(None, status=101, web_socket=end)
    assert Response(None, status=101, web_socket=end).web_socket is end
    assert opener.sent_on == []
    assert end.take(holder) is GRANT
    assert opener.sent_on == [GRANT]
    for use in (lambda: end.take(holder), end.bind_to_response, end.accept):
        with pytest.raises(InvalidStateError, match="used already"):
            use()
    assert opener.dropped == []
    holder.drops[0]()
    assert opener.dropped == [GRANT]


async def test_an_end_that_nobody_took_is_dropped_with_its_last_holder() -> None:
    opener = Opener()
    end: GrantedEnd | None = GrantedEnd.of(GRANT, opener)
    assert end is not None
    end = None
    gc.collect()
    await asyncio.sleep(0)
    assert opener.dropped == [GRANT]


async def test_an_end_can_be_dropped_while_somebody_holds_it() -> None:
    opener = Opener()
    end = GrantedEnd.of(GRANT, opener)
    end.drop()
    end.drop()
    assert opener.dropped == [GRANT]
    with pytest.raises(InvalidStateError, match="used already"):
        end.take(Holder())


async def test_an_end_that_was_taken_is_not_dropped_with_its_last_holder() -> None:
    opener = Opener()
    GrantedEnd.of(GRANT, opener).take(Holder())
    gc.collect()
    await asyncio.sleep(0)
    assert opener.dropped == []


async def test_an_end_is_accepted_inside_an_object_only() -> None:
    end = GrantedEnd.of(GRANT, Opener())
    with pytest.raises(InvalidStateError, match="inside a method"):
        end.accept()
    assert "ROOM" in repr(end)
    end.take(Holder())
