# What a host asks of its background writer, and how both say it.
#
#  (1) A message is the lengths of its head and its body, the head (msgpack), the body. Only `WritePages` has one: the
#      pages, in the order in which it names them.
#  (2) Each message of the host has one answer, and on one connection nothing is asked before the answer.
"""Errands: the messages between a host and its background writer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

_LENGTHS = struct.Struct("<IQ")
_PIECES_MAX = 512  # in one call; the system takes 1024 (IOV_MAX)


class WritePages(msgspec.Struct, frozen=True, tag="write-pages"):
    """Write these pages into the file, sync it, and keep the checksums of the pages, and of those in `unsummed`."""

    path: str
    pages: list[int]
    """Growing."""
    size_pages: int
    """How long the file is to be; 0: as long as it is."""
    unsummed: list[int]
    is_new: bool
    """Whether the file's name is not durable yet; then it is made if it is not there."""


class ReadJournal(msgspec.Struct, frozen=True, tag="read-journal"):
    """Look through the journal that a crash left in these segments of a slot; `Recover` and `SyncNames` follow."""

    data: str
    slot: str
    segments: list[str]


class Recover(msgspec.Struct, frozen=True, tag="recover"):
    """Bring the files of these objects to their last commits, durably but for their names."""

    keys: list[bytes]


class SyncNames(msgspec.Struct, frozen=True, tag="sync-names"):
    """Make the names of these objects' files durable."""

    keys: list[bytes]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was done; `keys` are the objects that were recovered. The others are for the host to see to."""

    keys: list[bytes] = []


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It was not done."""

    message: str
    errno: int | None = None
    """Of the error of the system, where it was one."""
    is_unsynced: bool = False
    """Whether it was the sync that failed: nobody knows what is on the disk."""


class UnsyncedError(OSError):
    """A sync failed: what is on the disk, nobody knows."""


Errand: TypeAlias = WritePages | ReadJournal | Recover | SyncNames
Answer: TypeAlias = Done | Failed
_encode = msgspec.msgpack.Encoder().encode
_errand: msgspec.msgpack.Decoder[Errand] = msgspec.msgpack.Decoder(Errand)
_answer: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def send(connection: socket.socket, message: Errand | Answer, body: Sequence[bytes | memoryview] = ()) -> None:
    """Send a message. Raises OSError when nobody is there."""
    head = _encode(message)
    pieces = [_LENGTHS.pack(len(head), sum(map(len, body))), head, *body]
    for start in range(0, len(pieces), _PIECES_MAX):
        _send_all(connection, pieces[start : start + _PIECES_MAX])


def receive_errand(connection: socket.socket) -> tuple[Errand, int]:
    """The next errand, and how long the body is that follows it. Raises EOFError when the host is gone."""
    head, body = _receive_head(connection)
    return _errand.decode(head), body


def receive_answer(connection: socket.socket) -> Answer:
    """The answer. Raises EOFError when the background writer is gone."""
    return _answer.decode(_receive_head(connection)[0])


def receive_exactly(connection: socket.socket, length: int) -> memoryview:
    """So many bytes. Raises EOFError when they do not come any more."""
    view = memoryview(bytearray(length))
    at = 0
    while at < length:
        taken = connection.recv_into(view[at:])
        if not taken:
            raise EOFError("the other side is gone")
        at += taken
    return view


def _receive_head(connection: socket.socket) -> tuple[memoryview, int]:
    head, body = _LENGTHS.unpack(receive_exactly(connection, _LENGTHS.size))
    return receive_exactly(connection, head), body


def _send_all(connection: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    sent = connection.sendmsg(pieces)
    if sent < sum(map(len, pieces)):  # a signal came in between
        connection.sendall(memoryview(b"".join(pieces))[sent:])
