"""Power failures for as long as one likes: `python -m tests.power_loss [--minutes N] [--seed N] [--processes N]`.

Ends with status 1 at the first promise that was broken; what was left then is kept, and the seed printed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .crashes import Crashes
from .recording import Recording, built_shim
from .recovering import Recovering
from .scenes import recovered_on_the_record, some_crashes, work

MEMORY = Path("/dev/shm")


def destroy(seed: int, shim: Path) -> tuple[int, int, int]:
    """One workload, with power failures everywhere in it; events, states, and states after a second failure."""
    base = Path(tempfile.mkdtemp(prefix=f"roost-power-{seed}-", dir=MEMORY if MEMORY.is_dir() else None))
    recording = Recording(base / "data", shim)
    work(recording, seed)
    recovering = Recovering(base / "recovered")
    crashes = Crashes(recording, seed, chance_of_point=0.5, random_per_point=4, exhaustive=True)
    recovering.check_all(crashes)
    first = recovering.checked
    for number, crash in enumerate(some_crashes(recording, seed, 10)):
        again = recovered_on_the_record(crash, base / f"again-{number}", shim)
        recovering.check_all(Crashes(again, seed, promises=crash.promises, random_per_point=4, exhaustive=True))
    shutil.rmtree(base)  # where a promise was broken it stays
    return len(crashes.events), first, recovering.checked - first


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.power_loss", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    print(f"power failures for {options.minutes:g} minutes from seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(options.processes) as processes:
        return _rounds(processes, built_shim(Path(directory)), options)


def _rounds(processes: ProcessPoolExecutor, shim: Path, options: argparse.Namespace) -> int:
    end, seed = time.monotonic() + options.minutes * 60, options.seed
    while time.monotonic() < end:
        seeds = [seed + 10 * number for number in range(options.processes)]
        seed = seeds[-1] + 10
        for one, done in [(one, processes.submit(destroy, one, shim)) for one in seeds]:
            if (error := done.exception()) is not None:
                print(f"seed {one}: {error}", flush=True)
                return 1
            events, states, again = done.result()
            print(f"seed {one}: {events} events, {states} states, {again} after a second failure", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
