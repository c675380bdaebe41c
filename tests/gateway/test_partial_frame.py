from __future__ import annotations

import codecs

import pytest
from tests.gateway.raw_client import BINARY, PING, TEXT, frame

from roost.gateway.partial_frame import FrameHead, PartialFrame

UTF8 = codecs.getincrementaldecoder("utf-8")


class Judge:
    """Lets everything come, and has texts looked at."""

    def __init__(self) -> None:
        self.heads: list[FrameHead] = []
        self.invalid = 0

    def on_head(self, head: FrameHead) -> codecs.IncrementalDecoder | None:
        self.heads.append(head)
        return UTF8() if head.opcode == TEXT else None

    def on_invalid_text(self) -> None:
        self.invalid += 1


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize(("opcode", "fin", "rsv"), [(TEXT, True, 0), (BINARY, False, 4), (PING, True, 1)])
def test_a_head_is_told_with_its_last_byte(size: int, opcode: int, fin: bool, rsv: int) -> None:
    judge = Judge()
    partial = PartialFrame(judge)
    data = frame(opcode, b"x" * size, fin=fin, rsv=rsv)
    for at in range(len(data) - size):
        assert judge.heads == []
        partial.add(data[at : at + 1])
    (head,) = judge.heads
    assert (head.opcode, head.fin, head.rsv, head.length, head.size) == (opcode, fin, rsv, size, len(data) - size)
    assert head.mask == data[head.size - 4 : head.size]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000, 5_000])
async def test_a_wrong_byte_is_found_with_the_part_that_has_it(step: int) -> None:
    good, bad = "κόσμε".encode() * 1_000, b"\xf4\x90"
    data = frame(TEXT, good + bad + b"x" * 100)
    wrong = len(data) - 101  # the second of the bad bytes
    judge = Judge()
    partial = PartialFrame(judge)
    for at in range(0, len(data) - 100, step):
        partial.add(data[at : at + step])
        assert judge.invalid == (at + step > wrong)


def test_a_character_that_is_not_whole_yet_is_not_wrong() -> None:
    for cut in range(1, 4):
        judge = Judge()
        PartialFrame(judge).add(frame(TEXT, "😀".encode() + b"x")[: 6 + cut])
        assert judge.invalid == 0


def test_what_need_not_be_looked_at_is_counted() -> None:
    data = frame(BINARY, b"x" * 1_000)
    partial = PartialFrame(Judge())
    assert partial.add(data[:3]) == 0
    assert partial.add(data[3:108]) == 900
    text = PartialFrame(Judge())
    assert text.add(frame(TEXT, b"x" * 1_000)[:108]) == 0
