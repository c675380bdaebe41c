from __future__ import annotations

from typing import Any

from roost.objects.durable_object import DurableObject


def test_the_base_class_defines_no_handler_so_that_a_class_has_only_what_it_wrote() -> None:
    for name in ("fetch", "web_socket_message", "web_socket_close", "web_socket_error", "alarm"):
        assert not hasattr(DurableObject, name)


def test_events_interleave_unless_the_class_says_otherwise() -> None:
    assert DurableObject.interleave is True


def test_the_constructor_keeps_what_it_is_given() -> None:
    ctx: Any = object()
    room = DurableObject(ctx, "env")
    assert (room.ctx, room.env) == (ctx, "env")
