from __future__ import annotations

import asyncio

from roost.gateway.cork import Cork


class Recorder:
    def __init__(self) -> None:
        self.pending: list[bytes] = []
        self.written: list[list[bytes]] = []

    def flush(self) -> None:
        self.written.append(self.pending.copy())
        self.pending.clear()


async def test_what_is_queued_in_a_turn_is_one_write_in_order() -> None:
    cork, one, two = Cork(asyncio.get_running_loop()), Recorder(), Recorder()
    cork.write(one, b"1")
    cork.write_all([one, two], b"2")
    cork.write(one, b"3")
    assert one.written == []
    await asyncio.sleep(0)
    assert one.written == [[b"1", b"2", b"3"]]
    assert two.written == [[b"2"]]


async def test_each_turn_has_its_own_write() -> None:
    cork, one = Cork(asyncio.get_running_loop()), Recorder()
    for _ in range(3):
        cork.write_all([one], b"x")
        await asyncio.sleep(0)
    assert one.written == [[b"x"]] * 3


async def test_a_frame_for_many_is_one_object() -> None:
    cork, many, frame = Cork(asyncio.get_running_loop()), [Recorder() for _ in range(3)], bytes(bytearray(b"frame"))
    cork.write_all(many, frame)
    assert all(one.pending[0] is frame for one in many)
    cork.flush()


async def test_what_was_written_already_is_not_written_again() -> None:
    cork, one = Cork(asyncio.get_running_loop()), Recorder()
    cork.write(one, b"x")
    one.flush()
    cork.flush()
    await asyncio.sleep(0)
    assert one.written == [[b"x"]]


async def test_what_is_queued_while_writing_leaves_in_the_next_turn() -> None:
    cork, second = Cork(asyncio.get_running_loop()), Recorder()

    class Answering(Recorder):
        def flush(self) -> None:
            super().flush()
            cork.write(second, b"answer")

    cork.write(Answering(), b"x")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert second.written == [[b"answer"]]
