"""Is there one order of what several clients did, which explains everything that they were told?

A history is linearizable if each operation can be given a moment between its call and its return, so that done one
after the other, at these moments, they give the results that were seen (Herlihy and Wing, 1990). The search is that of
Wing and Gong (1993) with the memory of Lowe (2017): a set of operations and the state after them is tried once. An
operation without an answer, because its server was killed, may have happened at any moment after its call, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

State: TypeAlias = Hashable
Step: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]
"""What the object should do: the state and what is asked, to the state afterwards and the answer."""


class Operation(msgspec.Struct, frozen=True):
    """What one client asked, and what it was told."""

    client: str
    asked: Any
    called: float
    returned: float | None = None
    """None: there was no answer."""
    told: Any = None


class Found(msgspec.Struct, frozen=True):
    """What came of the search."""

    order: list[Operation] | None
    """One that explains everything; None where there is none."""
    stuck: list[Operation]
    """Where there is none: the longest beginning that could be explained."""

    @property
    def linearizable(self) -> bool:
        return self.order is not None


def check(history: Iterable[Operation], step: Step, initial: State) -> Found:
    """Look for an order."""
    operations = sorted(history, key=lambda operation: operation.called)
    search = _Search(operations, step)
    order = search.run(initial)
    chosen = None if order is None else [operations[at] for at in order]
    return Found(chosen, [operations[at] for at in search.longest])


class _Search:
    """Depth first, without recursion: `path` holds what was chosen, and for each what may be tried instead."""

    def __init__(self, operations: Sequence[Operation], step: Step) -> None:
        self._operations = operations
        self._step = step
        self._must = _bits(at for at, one in enumerate(operations) if one.returned is not None)
        self.longest: list[int] = []

    def run(self, initial: State) -> list[int] | None:
        seen: set[tuple[int, State]] = {(0, initial)}
        order: list[int] = []
        stack = [(0, initial, iter(self._candidates(0)))]
        while stack:
            done, state, candidates = stack[-1]
            if done & self._must == self._must:
                return order
            for at in candidates:
                after = self._after(state, at)
                if after is None or (done | 1 << at, after[0]) in seen:
                    continue
                seen.add((done | 1 << at, after[0]))
                order.append(at)
                stack.append((done | 1 << at, after[0], iter(self._candidates(done | 1 << at))))
                break
            else:
                stack.pop()
                if len(order) > len(self.longest):
                    self.longest = order.copy()
                del order[-1:]
        return None

    def _after(self, state: State, at: int) -> tuple[State] | None:
        """The state after the operation; None where it would have answered something else."""
        operation = self._operations[at]
        following, answer = self._step(state, operation.asked)
        return None if operation.returned is not None and answer != operation.told else (following,)

    def _candidates(self, done: int) -> list[int]:
        """Those that may come next: no other that is left had returned before they were called."""
        left = [at for at in range(len(self._operations)) if not done >> at & 1]
        returns = [r for at in left if (r := self._operations[at].returned) is not None]
        earliest = min(returns, default=float("inf"))
        return [at for at in left if self._operations[at].called <= earliest]


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)
