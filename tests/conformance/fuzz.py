"""The same bytes through our reader and through those of `websockets` and `wsproto`, cut at every position.

    python -m tests.conformance.fuzz [--minutes 10] [--seed NUMBER]

Whatever differs must be one of the differences in `KNOWN`, each with its reason; anything else ends the run with status
1, and a line from which it can be had again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.conformance.peers import MODES, PEERS, Outcome, ours
from tests.conformance.streams import CLOSE, CONTINUATION, Head, Maker, Stream, read_heads

from roost.gateway.framing import may_be_received

CUTS_MAX = 60
"""Of one stream: of a longer one so many positions are chosen by chance."""


class Case(NamedTuple):
    """What ours and a peer have made of a stream, from where they differ."""

    peer: str
    stream: Stream
    heads: list[Head]
    ours: Outcome
    theirs: Outcome

    @property
    def last_is_whole(self) -> bool:
        return bool(self.heads) and self.heads[-1].whole


class Known(NamedTuple):
    """A difference that is meant to be."""

    name: str
    reason: str
    holds: Callable[[Case], bool]


def _fails(outcome: Outcome, *codes: int) -> bool:
    return len(outcome) == 1 and outcome[0][0] == "fail" and (not codes or outcome[0][1] in codes)


KNOWN = [
    Known(
        "found early",
        "We judge a frame while it comes (RFC 6455, section 8.1 allows it at any time); websockets waits for its end.",
        lambda case: not case.last_is_whole and _fails(case.ours) and not case.theirs,
    ),
    Known(
        "found earlier",
        "wsproto judges a head before its mask has come, and inflates a compressed frame while it comes; we do not.",
        lambda case: (
            case.peer == "wsproto" and not case.last_is_whole and not case.ours and _fails(case.theirs, 1002, 1007)
        ),
    ),
    Known(
        "length not minimal",
        "RFC 6455, section 5.2 demands the shortest form and a highest bit of 0; websockets does not check.",
        lambda case: (
            case.peer == "websockets" and _fails(case.ours, 1002) and not all(head.minimal for head in case.heads)
        ),
    ),
    Known(
        "close within a message",
        "Control frames may come between fragments (section 5.4), so we take the Close; websockets calls it a breach.",
        lambda case: case.peer == "websockets" and case.ours[0][0] == "close" and _fails(case.theirs, 1002),
    ),
    Known(
        "close code",
        "Codes 1004, 1016 to 2999 and from 5000 on may not be sent (section 7.4), and wsproto takes them. IANA has "
        "registered 1014 since, which wsproto does not take.",
        lambda case: (
            case.peer == "wsproto"
            and (
                (_fails(case.ours, 1002) and case.theirs[0][0] == "close")
                or (_fails(case.theirs, 1002) and case.ours[0][:2] == ("close", 1014))
            )
        ),
    ),
    Known(
        "wrong in two ways",
        "A Close frame with a reason that is no text, and a reserved bit or a code that may not be sent, is both. What "
        "is found first depends on how it comes.",
        lambda case: (
            _fails(case.ours, 1002, 1007) and _fails(case.theirs, 1002, 1007) and _has_close_wrong_twice(case.heads)
        ),
    ),
    Known(
        "not deflated data",
        "The code is not laid down. As wsproto we say 1007, data that is not what the message's type says.",
        lambda case: case.peer == "websockets" and _fails(case.ours, 1007) and _fails(case.theirs, 1002),
    ),
    Known(
        "order of checks",
        "wsproto inflates the payload of a frame before it looks whether the frame may come.",
        lambda case: (
            case.peer == "wsproto"
            and _fails(case.ours, 1002)
            and _fails(case.theirs, 1007)
            and any(head.rsv == 4 for head in case.heads)
        ),
    ),
    Known(
        "last block by accident",
        "Damaged deflated data may end with a last block within what was left out (00 00 ff ff); the rest of that is "
        "no block, which we say and the others overlook.",
        lambda case: case.stream.is_damaged and _fails(case.ours, 1007) and any(head.rsv == 4 for head in case.heads),
    ),
    Known(
        "last block",
        "What follows a block with BFINAL set is read (RFC 7692, section 7.2.3.4); both others lose it.",
        lambda case: case.stream.has_last_block,
    ),
    Known(
        "control frame within a compressed message",
        "wsproto forgets at a control frame that the message is compressed.",
        lambda case: case.peer == "wsproto" and _has_control_within(case.heads),
    ),
    Known(
        "too large",
        "wsproto has no bound for a message.",
        lambda case: case.peer == "wsproto" and _fails(case.ours, 1009),
    ),
]


def _has_control_within(heads: list[Head]) -> bool:
    within = False
    for head in heads:
        if head.opcode >= CLOSE:
            if within:
                return True
        else:
            within = not head.fin and (head.rsv == 4 or (within and head.opcode == CONTINUATION))
    return False


def _has_close_wrong_twice(heads: list[Head]) -> bool:
    for head in heads:
        if head.opcode == CLOSE and len(head.payload) > 2:
            code = int.from_bytes(head.payload[:2], "big")
            if (head.rsv != 0) + (not may_be_received(code)) + (not _is_text(head.payload[2:])) > 1:
                return True
    return False


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Unknown(NamedTuple):
    """A difference that nobody has explained."""

    peer: str
    mode: str
    parts: list[bytes]
    ours: Outcome
    theirs: Outcome

    def __str__(self) -> str:
        parts = [part.hex() for part in self.parts]
        return f"{self.peer}, {self.mode}: {parts}\n  ours   {self.ours}\n  theirs {self.theirs}"


class Fuzzer:
    """Compares stream after stream."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.streams = 0
        self.runs = 0
        self.known: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def next(self) -> Unknown | None:
        """One more stream; the first difference that is not known."""
        mode = self.chance.choice(MODES)
        stream = Maker(self.chance, mode).stream()
        self.streams += 1
        whole = ours([stream.data], mode)
        self.ends[" ".join(map(str, whole[-1][:2])) if whole and whole[-1][0] in ("fail", "close") else "open"] += 1
        for parts in self._all_cuts(stream.data):
            self.runs += 1
            cut = ours(parts, mode)
            if cut != whole and not self._is_known("ours, cut", stream, whole, cut):
                return Unknown("ours, cut", mode, parts, whole, cut)
            for name, peer in PEERS.items():
                theirs = peer(parts, mode)
                if theirs != whole and not self._is_known(name, stream, whole, theirs):
                    return Unknown(name, mode, parts, whole, theirs)
        return None

    def _all_cuts(self, data: bytes) -> list[list[bytes]]:
        positions = list(range(1, len(data)))
        if len(positions) > CUTS_MAX:
            positions = self.chance.sample(positions, CUTS_MAX)
        every_byte = [data[at : at + 1] for at in range(len(data))]
        return [[data], every_byte, *([data[:at], data[at:]] for at in positions)]

    def _is_known(self, peer: str, stream: Stream, whole: Outcome, theirs: Outcome) -> bool:
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(whole, theirs, strict=False)))
        case = Case(peer, stream, read_heads(stream.data), whole[same:], theirs[same:])
        for known in KNOWN:
            if peer not in PEERS and known.name != "wrong in two ways":
                continue
            if (case.ours or known.name in _WITHOUT_OURS) and (case.theirs or _fails(case.ours)) and known.holds(case):
                self.known[known.name] += 1
                return True
        return False


_WITHOUT_OURS = ("found earlier", "last block", "control frame within a compressed message")


async def run(minutes: float, seed: int) -> int:
    print(f"seed {seed}")
    fuzzer, end = Fuzzer(seed), time.monotonic() + minutes * 60
    found = None
    while found is None and time.monotonic() < end:
        found = fuzzer.next()
    print(f"{fuzzer.streams} streams in {fuzzer.runs} ways; ends: {dict(fuzzer.ends.most_common())}")
    print(f"known differences: {dict(fuzzer.known.most_common())}")
    if found is not None:
        print(f"UNKNOWN DIFFERENCE after {fuzzer.streams} streams of seed {seed}: {found}", file=sys.stderr)
    return 1 if found is not None else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    return asyncio.run(run(given.minutes, given.seed))


if __name__ == "__main__":
    sys.exit(main())
