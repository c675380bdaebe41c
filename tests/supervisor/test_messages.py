from __future__ import annotations

import pytest

from roost.config import Settings
from roost.supervisor.messages import (
    Answer,
    Ask,
    ControlError,
    Drain,
    Failed,
    Frame,
    FromChild,
    Order,
    Raised,
    Ready,
    Serve,
    Serving,
    Sockets,
    Start,
    Stop,
    ToChild,
    decode_from_child,
    decode_to_child,
    encode,
)

RAISED = Raised("SyntaxError", "bad\nline", [Frame("a.py", 1, "f")], ("a.py", 1, 2, "x ="), Raised("KeyError", "'x'"))
SETTINGS = Settings(app="/a/app.py", data="/a/.roost", vars={"LIST": [1, 2.5, {"a": "b"}]})


@pytest.mark.parametrize(
    "message",
    [
        Start("host", 3, SETTINGS, Sockets("/a/.roost/run"), broken=RAISED),
        Start("gateway", 0, SETTINGS, Sockets("/run"), listening=7),
        Serve(),
        Drain(3.5),
        Drain(3.5, replaced=True),
        Stop(0),
        Ask(4),
        Order(5, "restore", {"id": "ab", "commit": 7}),
    ],
)
def test_what_the_supervisor_says_arrives_as_it_was(message: ToChild) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_to_child(line) == message


@pytest.mark.parametrize(
    "message", [Ready(), Serving(), Failed("app", "no", RAISED), Failed("data", "no"), Answer(4, {"a": [1]})]
)
def test_what_a_child_says_arrives_as_it_was(message: FromChild) -> None:
    assert decode_from_child(encode(message)) == message


def test_what_is_no_message_is_an_error_that_shows_it() -> None:
    with pytest.raises(ControlError, match=r"the supervisor said b'hello'"):
        decode_to_child(b"hello")
    with pytest.raises(ControlError, match=r'a child process said b.\{"type":"serve"\}'):
        decode_from_child(b'{"type":"serve"}')
