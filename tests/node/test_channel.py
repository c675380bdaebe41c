from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from roost.config import Settings
from roost.node.channel import ORPHANED, Channel
from roost.supervisor.messages import ControlError, Ready, Serve, Serving, Sockets, Start, ToChild, encode

START = Start("host", 1, Settings(app="/a/app.py", data="/a"), Sockets("/a/run"))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, Channel(theirs)


def test_the_first_message_is_read_and_no_more(ends: tuple[socket.socket, Channel]) -> None:
    supervisor, channel = ends
    supervisor.sendall(encode(START) + encode(Serve()))
    assert channel.read_start() == START
    channel.say(Ready())
    assert supervisor.recv(100) == encode(Ready())


def test_a_supervisor_that_is_gone_or_begins_with_something_else_is_an_error(
    ends: tuple[socket.socket, Channel],
) -> None:
    supervisor, channel = ends
    supervisor.sendall(encode(Serve()))
    with pytest.raises(ControlError, match="the supervisor began with Serve, expected Start"):
        channel.read_start()
    supervisor.close()
    with pytest.raises(EOFError, match="the supervisor has gone"):
        channel.read_start()
    channel.say(Ready())  # nobody hears it, and nothing happens


async def test_messages_come_in_order_and_the_last_is_that_it_is_orphaned(
    ends: tuple[socket.socket, Channel],
) -> None:
    supervisor, channel = ends
    supervisor.sendall(encode(Serve()) + encode(Serve())[:5])
    heard: list[ToChild] = []
    async with contextlib.aclosing(channel.messages()) as messages:
        async for message in messages:
            heard.append(message)
            if len(heard) == 1:
                channel.say(Serving())
                supervisor.sendall(encode(Serve())[5:])
            if len(heard) == 2:
                assert supervisor.recv(100) == encode(Serving())
                supervisor.close()
    assert heard == [Serve(), Serve(), ORPHANED]


async def test_a_signal_to_stop_is_as_if_the_supervisor_had_gone(ends: tuple[socket.socket, Channel]) -> None:
    _, channel = ends
    channel.stop()
    async with contextlib.aclosing(channel.messages()) as messages:
        assert [message async for message in messages] == [ORPHANED]


SCRIPT = """
from roost.node.channel import take_standard_input
import sys, time
channel = take_standard_input()
print(repr(sys.stdin.read()), flush=True)
with channel.leaving_when_orphaned(float(sys.argv[1])):
    time.sleep(600)
"""


@pytest.mark.parametrize("grace", ["0", "0.01"])
def test_standard_input_is_empty_for_the_app_and_code_that_hangs_does_not_outlive_the_supervisor(grace: str) -> None:
    ours, theirs = socket.socketpair()
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, grace], stdin=theirs.fileno(), stdout=subprocess.PIPE, env=environ
    ) as child:
        theirs.close()
        assert child.stdout is not None
        assert child.stdout.readline() == b"''\n"
        ours.close()
        assert child.wait(60) == 0


def test_code_that_ends_by_itself_is_left_to_it(ends: tuple[socket.socket, Channel]) -> None:
    supervisor, channel = ends
    with channel.leaving_when_orphaned():
        pass
    supervisor.close()
    with pytest.raises(EOFError):
        channel.read_start()
    with channel.leaving_when_orphaned(grace_seconds=600):
        pass  # it is not too late to end while the time runs
