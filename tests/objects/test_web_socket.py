from __future__ import annotations

from typing import Any

import pytest

from roost.errors import (
    InvalidArgumentError,
    InvalidStateError,
    LimitExceededError,
    UnserialisableError,
    WrongTypeError,
)
from roost.held_socket import CLOSED, CLOSING
from roost.limits import Limits
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.response import Response

from .harness import MakeHarness, Scripted, told


def doing(*steps: Any) -> dict[str, Any]:
    """An object whose handler of "go" calls these with its socket."""

    async def go(self: Scripted, ws: WebSocket) -> None:
        for step in steps:
            step(ws)

    return {"go": go}


def sending(*messages: str | bytes) -> Any:
    return lambda ws: [ws.send(message) for message in messages]


async def test_messages_leave_in_the_order_sent_and_keep_their_kind(live: MakeHarness) -> None:
    room = live(Scripted, env=doing(sending("text", b"bytes", "häl", "")))
    room.message(room.hold(), "go")
    assert [effect[1] for effect in room.left()] == ["text", b"bytes", "häl", ""]


async def test_the_same_message_to_many_sockets_is_one_effect(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        for s in self.ctx.get_web_sockets():
            if s is not ws:
                s.send("hello")

    room = live(Scripted, env={"go": go})
    sockets = [room.hold() for _ in range(5)]
    room.message(sockets[2], "go")
    assert room.left() == [("send", "hello", [1, 2, 4, 5])]
    assert (room.meter.messages_out, room.meter.bytes_out) == (4, 20)


async def test_equal_messages_that_were_made_anew_fold_too(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        for s in self.ctx.get_web_sockets():
            s.send_json({"n": 1})

    room = live(Scripted, env={"go": go})
    sockets = [room.hold() for _ in range(3)]
    room.message(sockets[0], "go")
    assert room.left() == [("send", '{"n":1}', [1, 2, 3])]


async def test_text_and_bytes_of_the_same_letters_do_not_fold(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        one, two = self.ctx.get_web_sockets()
        one.send("a")
        two.send(b"a")

    room = live(Scripted, env={"go": go})
    room.hold()
    room.message(room.hold(), "go")
    assert room.left() == [("send", "a", [1]), ("send", b"a", [2])]


async def test_a_socket_that_is_sent_the_same_twice_gets_it_twice(live: MakeHarness) -> None:
    room = live(Scripted, env=doing(sending("a", "a", "a")))
    room.message(room.hold(), "go")
    assert room.left() == [("send", "a", [1])] * 3


async def test_anything_in_between_ends_a_run_so_that_order_is_kept(live: MakeHarness) -> None:
    async def go(self: Scripted, ws: WebSocket) -> None:
        one, two, three = self.ctx.get_web_sockets()
        one.send("a")
        one.serialize_attachment(1)
        two.send("a")
        two.send("b")
        three.send("a")

    room = live(Scripted, env={"go": go})
    sockets = [room.hold() for _ in range(3)]
    room.message(sockets[0], "go")
    assert [effect[:2] for effect in room.left()] == [
        ("send", "a"),
        ("attach", 1),
        ("send", "a"),
        ("send", "b"),
        ("send", "a"),
    ]


async def test_a_run_ends_with_its_turn(live: MakeHarness) -> None:
    room = live(Scripted, env=doing(sending("a")))
    one, two = room.hold(), room.hold()
    room.message(one, "go")
    room.message(two, "go")
    assert room.left() == [("send", "a", [1]), ("send", "a", [2])]


@pytest.mark.parametrize("data", [None, 5, ["x"]])
async def test_what_is_no_message_is_refused_and_nothing_else_is_disturbed(live: MakeHarness, data: Any) -> None:
    def refused(ws: WebSocket) -> None:
        with pytest.raises(WrongTypeError, match="must be str or bytes"):
            ws.send(data)

    room = live(Scripted, env=doing(refused, sending("fine"), refused))
    room.message(room.hold(), "go")
    assert room.left() == [("send", "fine", [1])]


async def test_a_message_above_the_limit_is_refused(live: MakeHarness) -> None:
    def refused(ws: WebSocket) -> None:
        for data in ("123456", b"123456", "ä" * 6):
            with pytest.raises(LimitExceededError):
                ws.send(data)

    room = live(Scripted, env=doing(refused), limits=Limits(message_bytes_max=5))
    room.message(room.hold(), "go")
    assert room.left() == []


async def test_send_json_names_what_json_does_not_carry(live: MakeHarness) -> None:
    def refused(ws: WebSocket) -> None:
        with pytest.raises(UnserialisableError):
            ws.send_json(object())

    room = live(Scripted, env=doing(refused))
    room.message(room.hold(), "go")
    assert "object.handler_failed" not in room.names()


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_close_waits_behind_earlier_sends_and_makes_the_socket_closing(live: MakeHarness) -> None:
    states: list[int] = []
    room = live(
        Scripted,
        env=doing(sending("last"), lambda ws: ws.close(4001, "bye"), lambda ws: states.append(ws.ready_state)),
    )
    held = room.hold()
    room.message(held, "go")
    assert room.left() == [("send", "last", [1]), ("close", 1, 4001, "bye")]
    assert states == [CLOSING] == [held.ready_state]


async def test_close_without_a_code_is_an_empty_frame(live: MakeHarness) -> None:
    room = live(Scripted, env=doing(lambda ws: ws.close()))
    room.message(room.hold(), "go")
    assert room.left() == [("close", 1, None, "")]


async def test_a_second_close_is_ignored_but_its_arguments_are_checked_first(live: MakeHarness) -> None:
    def again(ws: WebSocket) -> None:
        ws.close(1000)
        ws.close(4000, "again")
        with pytest.raises(InvalidArgumentError):
            ws.close(1005)

    room = live(Scripted, env=doing(again))
    room.message(room.hold(), "go")
    assert room.left() == [("close", 1, 1000, "")]


async def test_send_after_close_is_an_error_also_when_the_object_slept_in_between(live: MakeHarness) -> None:
    def refused(ws: WebSocket) -> None:
        with pytest.raises(InvalidStateError, match=r"send\(\) after close\(\)"):
            ws.send("too late")

    room = live(Scripted, env={**doing(lambda ws: ws.close(), refused), "check": doing(refused)["go"]})
    held = room.hold()
    room.message(held, "go")
    room.alive.hibernate()
    room.message(held, "check")
    assert "object.handler_failed" not in room.names()


async def test_send_to_a_peer_that_has_gone_is_ignored(live: MakeHarness) -> None:
    kept: list[WebSocket] = []
    room = live(
        Scripted,
        env={**doing(kept.append), "later": doing(lambda _: kept[0].send("x"), lambda _: kept[0].close())["go"]},
    )
    held, other = room.hold(), room.hold()
    room.message(held, "go")
    room.close(held, 1006, "disconnected without sending Close", was_clean=False)
    room.message(other, "later")
    assert room.left() == []
    assert kept[0].ready_state == CLOSED
    assert "object.handler_failed" not in room.names()


# -- attachments -------------------------------------------------------------------------------------------------------


async def test_an_attachment_is_a_copy_and_survives_sleep(live: MakeHarness) -> None:
    value = {"name": "ann", "tools": ["pen"]}
    seen: list[Any] = []

    def attach(ws: WebSocket) -> None:
        assert ws.deserialize_attachment() is None
        ws.serialize_attachment(value)
        value["tools"] = []

    def read(ws: WebSocket) -> None:
        seen.extend([ws.deserialize_attachment(), ws.deserialize_attachment()])

    room = live(Scripted, env={**doing(attach), "read": doing(read)["go"]})
    held = room.hold()
    room.message(held, "go")
    ((kind, number, raw),) = room.left()
    assert (kind, number, raw) == ("attach", 1, held.attachment)
    room.alive.hibernate()
    room.message(held, "read")
    assert seen == [{"name": "ann", "tools": ["pen"]}] * 2
    assert seen[0] is not seen[1]


async def test_an_attachment_that_is_too_large_is_refused_with_both_sizes(live: MakeHarness) -> None:
    def refused(ws: WebSocket) -> None:
        ws.serialize_attachment("small")
        with pytest.raises(LimitExceededError, match=r"may have 16384 bytes when it is encoded, this one has 20003"):
            ws.serialize_attachment("x" * 20_000)
        with pytest.raises(UnserialisableError, match="attachment"):
            ws.serialize_attachment({"f": object()})
        assert ws.deserialize_attachment() == "small"

    room = live(Scripted, env=doing(refused))
    room.message(room.hold(), "go")
    assert "object.handler_failed" not in room.names()


async def test_an_attachment_can_be_given_before_the_socket_is_accepted(live: MakeHarness) -> None:
    async def fetch(self: Scripted) -> Response:
        client, server = WebSocketPair()
        server.serialize_attachment({"early": True})
        assert server.deserialize_attachment() == {"early": True}
        self.ctx.accept_web_socket(server)
        assert server.deserialize_attachment() == {"early": True}
        return Response(None, status=101, web_socket=client)

    room = live(Scripted, env={"/": fetch})
    held = room.connect(await room.fetch(upgrade=True))
    assert held.attachment is not None
    assert room.left() == []


# -- about it ----------------------------------------------------------------------------------------------------------


async def test_what_a_socket_tells_of_itself(live: MakeHarness) -> None:
    seen: list[Any] = []
    room = live(
        Scripted,
        env=doing(lambda ws: seen.extend([ws.tags, ws.protocol, ws.url, ws.extensions, ws.ready_state, repr(ws)])),
    )
    held = room.hold("a", "b")
    held.protocol = "chat.v2"
    room.message(held, "go")
    assert seen == [["a", "b"], "chat.v2", None, "", 1, "<WebSocket open, was accepted with ctx.accept_web_socket()>"]


def test_a_web_socket_is_not_made_by_hand() -> None:
    with pytest.raises(InvalidStateError, match="comes from WebSocketPair"):
        WebSocket()


def test_an_end_that_was_not_accepted_neither_sends_nor_closes() -> None:
    _client, server = WebSocketPair()
    with pytest.raises(InvalidStateError, match="was not accepted yet, so nothing can be sent"):
        server.send("x")
    with pytest.raises(InvalidStateError, match="was not accepted yet, so it cannot be closed"):
        server.close()


def test_every_effect_can_be_told() -> None:
    with pytest.raises(AssertionError):
        told(object())  # type: ignore[arg-type]
