"""What the questions about one room of the source have in common: how they time an operation, and how they answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from roost.errors import StorageError


def say(question: str, *answers: str) -> None:
    print(f"{question}\n    " + "\n    ".join(answers), flush=True)


def ignore(error: StorageError | None) -> None:
    """What a commit calls when it is durable, of a measurement that does not wait for it."""
    assert error is None


def microseconds(operation: Callable[[int], object], times: int) -> float:
    """Of one run of an operation; the median of five rounds."""
    rounds = []
    for number in range(5):
        start = time.perf_counter()
        for n in range(number * times, (number + 1) * times):
            operation(n)
        rounds.append((time.perf_counter() - start) / times * 1e6)
    return statistics.median(rounds)
