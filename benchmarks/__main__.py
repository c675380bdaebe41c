"""`python -m benchmarks [QUESTION...]`: ask all questions, or those, and write the answers to `benchmarks/results`."""

from __future__ import annotations

import importlib
import sys

QUESTIONS = ("echo", "broadcast", "put_then_broadcast", "idle", "wake")


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in QUESTIONS]
    if unknown:
        sys.exit(f"no such question: {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    for name in names or QUESTIONS:
        print(name, file=sys.stderr)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
