"""Clients that do everything wrong: they are ended with a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from .hostile import BINARY, TEXT, Hostile, close_code_in, frame, intrude, upgrade_request
from .running import Process, Roost, chance, running, until, until_async
from .talking import Client, enter, entered

MEBIBYTE = 1 << 20
SPARE_BYTES = 32 * MEBIBYTE
"""By which a process may grow whatever clients do to it."""


def peak_bytes(process: Process) -> int:
    """The most memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def open_files(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


async def closed_as(roost: Roost, *names: str, path: str = "/room") -> dict[str, Any]:
    """How the object saw these clients end, once it has."""

    async def all_told() -> dict[str, Any] | None:
        closed: dict[str, Any] = (await roost.get(path))["closed"]
        return closed if closed.keys() >= set(names) else None

    closed = await until_async(all_told, f"the object hearing of the end of {names}")
    assert closed is not None
    return {name: closed[name] for name in names}


async def test_slow_heads_are_ended_and_the_others_are_served_meanwhile(tmp_path: Path) -> None:
    async with running(Roost(tmp_path, limits={"head_seconds_max": 1.0})) as roost:
        async with entered(roost, "ada") as (ada,):
            slow = [await intrude(roost) for _ in range(200)]
            for number, one in enumerate(slow):
                await one.send(upgrade_request("/room", who=f"slow {number}")[: 1 + number % 60])
            ends = asyncio.gather(*(one.read_to_end() for one in slow))
            while not ends.done():
                await ada.echo()
            for one, end in zip(slow, await ends, strict=True):
                assert end.startswith(b"HTTP/1.1 408 "), end
                one.close()
            assert (await roost.get("/room"))["sockets"] == 1
        await roost.stop()


async def test_a_client_that_never_reads_is_closed_and_the_room_goes_on(tmp_path: Path) -> None:
    messages, size = 300, 64 * 1024
    async with running(Roost(tmp_path, limits={"socket_send_bytes_max": 256 * 1024})) as roost:
        gateway = await roost.process("gateway 0")
        stuck = await intrude(roost)
        await stuck.upgrade("/room", who="stuck")
        async with entered(roost, *(f"c{number}" for number in range(20))) as clients:
            before = peak_bytes(gateway)
            for number in range(messages):
                speaker = clients[number % len(clients)]
                await speaker.say(size=size)
                await speaker.when(lambda s=speaker: len(s.acknowledged) == s.said, "its message")
            for client in clients:
                await client.when(lambda c=client: c.heard_seqs[-1:] == [messages], "the last message")
                assert client.heard_seqs == list(range(1, messages + 1))
            assert peak_bytes(gateway) - before < SPARE_BYTES, "it kept what one client did not read"
            assert await closed_as(roost, "stuck") == {"stuck": [[1013, False]]}
            assert len(await stuck.read_to_end()) < messages * size
            stuck.close()
            assert (await roost.get("/room"))["sockets"] == len(clients)
        await roost.stop()


async def test_a_client_that_floods_is_not_read_faster_than_its_object_listens(tmp_path: Path) -> None:
    messages, padding = 6_000, "x" * 16 * 1024
    async with running(Roost(tmp_path)) as roost:
        gateway, host = await roost.process("gateway 0"), await roost.process("host 0")
        async with entered(roost, "flood") as (flood,), entered(roost, "ada", name="elsewhere") as (ada,):
            await ada.echo()
            before = {process: peak_bytes(process) for process in (gateway, host)}
            host.kill(signal.SIGSTOP)
            flooding = asyncio.create_task(say_all(flood, messages, padding))
            await until(lambda: flood.said >= 16, "a part of the flood being under way")
            host.kill(signal.SIGCONT)
            while not flooding.done():
                await ada.echo()
            await flooding
            await flood.when(lambda: len(flood.acknowledged) == messages, "everything coming back")
            flood.check_order()
            for process, peak in before.items():
                assert peak_bytes(process) - peak < SPARE_BYTES, f"{process.title} took in the flood"
        await roost.stop()


async def say_all(client: Client, messages: int, padding: str) -> None:
    for _ in range(messages):
        await client.say(padding=padding)


@pytest.mark.parametrize(
    ("opcode", "payload", "code", "why"),
    [
        (BINARY, bytes(200_000), 1009, "100000"),
        (TEXT, b"x" * 100_001, 1009, "100000"),
        (TEXT, b'{"from": "\xc3\x28"}', 1007, "UTF-8"),
    ],
    ids=["oversized binary", "one byte too much", "invalid UTF-8"],
)
async def test_a_bad_message_closes_its_socket_with_the_code_that_says_why(
    tmp_path: Path, opcode: int, payload: bytes, code: int, why: str
) -> None:
    async with running(Roost(tmp_path, limits={"message_bytes_max": 100_000})) as roost:
        async with entered(roost, "ada", "grace") as (ada, grace):
            await ada.say()
            bad = await intrude(roost)
            await bad.upgrade("/room", who="bad")
            await bad.send_frame(TEXT, json.dumps({"from": "bad", "n": 1}).encode())
            await bad.send_frame(opcode, payload)
            assert close_code_in(await bad.read_to_end()) == code
            bad.close()
            (told,) = (await closed_as(roost, "bad"))["bad"]  # once, as an error, with no end of the socket after it
            assert why in told
            last = await ada.echo()
            for client in (ada, grace):
                await client.when(lambda c=client: last in c.heard_seqs, "the last message")
                assert client.heard_seqs == [1, 2, 3]
            assert (await roost.get("/room"))["said"]["bad/000001"] in (1, 2), "what came before was taken"
        await roost.stop()


async def test_a_message_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    limit = 100_000
    roost = Roost(tmp_path, limits={"message_bytes_max": limit})
    async with running(roost), entered(roost, "ada") as (ada,):
        message = json.dumps({"from": "ada", "n": 1, "padding": ""})
        await ada.send(message[:-2] + "x" * (limit - len(message)) + message[-2:])
        await ada.when(lambda: ada.acknowledged == {1: 1}, "its message")


async def test_clients_that_vanish_halfway_are_given_up_as_1006(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        async with entered(roost, "ada") as (ada,):
            for who in ("half closed", "reset", "inside a frame", "closed"):
                one = await intrude(roost)
                await one.upgrade("/room", who=who)
                await vanish(one, who)
            names = ("half closed", "reset", "inside a frame", "closed")
            assert await closed_as(roost, *names) == {who: [[1006, False]] for who in names}
            await ada.echo()
            assert (await roost.get("/room"))["sockets"] == 1
        await roost.stop()


async def vanish(one: Hostile, how: str) -> None:
    match how:
        case "half closed":
            one.half_close()
            await one.read_to_end()
            one.close()
        case "reset":
            one.reset()
        case "inside a frame":
            await one.send(b"\x81\xff\0\0")
            one.reset()
        case _:
            one.close()


async def drop(roost: Roost, who: str, choice: random.Random) -> None:
    """Come, get somewhere, and vanish."""
    one = await intrude(roost)
    stage = choice.randrange(5)
    if stage == 1:
        await one.send(b"GET /room HTTP/1.1\r\nHo")
    elif stage == 2:
        await one.send(upgrade_request("/room", who=who))  # and not wait for the answer
    elif stage >= 3:
        await one.upgrade("/room", who=who)
    if stage == 4:
        await one.send(frame(TEXT, json.dumps({"from": who, "n": 1}).encode())[: choice.randrange(40)])
    choice.choice((one.close, one.reset))()


async def few_open(process: Process, files: int) -> None:
    await until(lambda: open_files(process) <= files, f"{process.title} closing what it has open")


async def test_a_thousand_connections_that_drop_leave_nothing_behind(tmp_path: Path) -> None:
    choice = chance()
    async with running(Roost(tmp_path, hosts=2, gateways=2)) as roost:
        async with entered(roost, "ada") as (ada,):
            await ada.echo()
            before = {process: open_files(process) for process in roost.processes()}

            for start in range(0, 1000, 50):
                await asyncio.gather(*(drop(roost, f"d{number}", choice) for number in range(start, start + 50)))
            await ada.echo()

            async def alone() -> bool:
                return bool((await roost.get("/room"))["sockets"] == 1)

            await until_async(alone, "everybody else being given up")
            for process, files in before.items():
                await few_open(process, files + 3)
            assert {process.pid for process in roost.processes()} == {process.pid for process in before}
            ada.check_order()
        again = await enter(roost, "late")
        await again.echo()
        await again.close()
        await roost.stop()


async def test_requests_that_break_off_in_their_body_disturb_nobody(tmp_path: Path) -> None:
    async with running(Roost(tmp_path)) as roost:
        async with entered(roost, "ada") as (ada,):
            for number in range(100):
                one = await intrude(roost)
                await one.send(b"POST /room HTTP/1.1\r\nHost: roost\r\nContent-Length: 100000\r\n\r\nsome of it")
                if number % 2:
                    one.half_close()
                    await one.read_to_end()
                one.reset()
            await ada.echo()
        await roost.stop()
