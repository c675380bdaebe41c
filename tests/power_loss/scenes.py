"""What is recorded: work that is killed and goes on, and recoveries, to have the power fail in them."""

from __future__ import annotations

import random
from pathlib import Path

from .crashes import AtRandom, Crash
from .disk import Disk
from .promises import Promises
from .recording import Recording

WORKLOAD = Path(__file__).with_name("workload.py")
STEPS = 60


def work(recording: Recording, seed: int, *, forget: str = "", steps: int = STEPS) -> None:
    """A process that is killed, and one that goes on after it."""
    patterns = [forget] if forget else []
    recording.run(WORKLOAD, str(seed), str(steps), "killed", forget=patterns)
    recording.run(WORKLOAD, str(seed + 1), "10", forget=patterns)


def some_crashes(recording: Recording, seed: int, count: int) -> list[Crash]:
    """Power failures at moments at random, well into the work."""
    chance = random.Random(seed)
    events = recording.events()
    points = {chance.randrange(len(events) // 4, len(events)) for _ in range(count)}
    disk, promises, found = Disk(recording, ordered=True), Promises(), []
    for event in events:
        disk.apply(event)
        promises = promises.after(event)
        if event.number in points:
            choice = AtRandom(f"{seed}/{event.number}", ordered=True)
            found.append(Crash(event.number, "ordered", choice, disk.crashed(choice), promises))
    return found


def recovered_on_the_record(crash: Crash, directory: Path, shim: Path) -> Recording:
    """A process opens everything after the failure, on the record."""
    crash.state.write(directory)
    again = Recording(directory, shim)
    again.run(WORKLOAD, "0", "0", "killed")
    return again
