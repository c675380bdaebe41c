"""How long does the message that wakes an object take, beside one to an object that is awake?"""

from __future__ import annotations

from functools import partial

from benchmarks import load, measure, report, servers
from benchmarks.measure import Candidate

OBJECTS = 200
ROUNDS = 3
SLEEP_SECONDS = 4
ROOST = Candidate("roost run", partial(servers.roost, limits={"idle_seconds": 1}), "/sleeper?room=*")


def main() -> None:
    page = report.Page("wake", "Waking from hibernation")
    page.text(
        f"{OBJECTS} objects with one socket each sleep; then each is sent one message, one after the other, and one "
        "more. The first constructs the object, which reads a key of its storage under `block_concurrency_while` "
        f"before it answers; the objects say themselves which message woke them. {ROUNDS} rounds. Latencies are of the "
        "way there and back. " + report.PINNED
    )
    result = measure.run_once(
        ROOST, "wake", connections=OBJECTS, rooms=OBJECTS, seconds=ROUNDS, sleep=SLEEP_SECONDS
    ).result
    awake = result.latency_awake_us
    if awake is None or result.latency_us.count < ROUNDS * OBJECTS:
        raise load.LoadError(f"of {ROUNDS * OBJECTS} sleepers only {result.latency_us.count} were woken")
    page.table(
        ["message to", "count", "p50", "p90", "p99"],
        [row("a sleeping object", result.latency_us), row("one awake", awake)],
    )
    print(page.write())


def row(name: str, latency: load.Latency) -> list[str]:
    return [name, str(latency.count), *map(report.duration, (latency.p50, latency.p90, latency.p99))]


if __name__ == "__main__":
    main()
