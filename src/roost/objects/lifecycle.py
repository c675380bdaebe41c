"""The life of an activation, as a table."""

# One activation is one life of an object in memory.
#
#  (1) Every change of state goes through `after`; what the table does not list cannot happen.
#  (2) The three ends are final. Which of them it was decides what the waiting events are told, and whether sockets
#      close.
#  (3) A failure ends a life from any state that is not an end.

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an activation stands."""

    NEW = "new"
    """Nothing was constructed yet."""
    STARTING = "starting"
    """The constructor runs, or what it started under `block_concurrency_while`."""
    AWAKE = "awake"
    DRAINING = "draining"
    """No new events come; what is under way is finished."""
    HIBERNATED = "hibernated"
    """Gone because nothing happened; its hibernating sockets stay."""
    RESET = "reset"
    """Gone because it failed or asked for it; the next event constructs anew."""
    STOPPED = "stopped"
    """Gone because its host wanted it to go."""


class Happening(StrEnum):
    """What moves an activation from one state to another."""

    FIRST_EVENT = "first event"
    CONSTRUCTED = "constructed"
    DRAIN = "drain"
    SLEEP = "sleep"
    FAILURE = "failure"
    STOP = "stop"


_S, _H = State, Happening

TRANSITIONS: dict[tuple[State, Happening], State] = {
    (_S.NEW, _H.FIRST_EVENT): _S.STARTING,
    (_S.NEW, _H.DRAIN): _S.DRAINING,
    (_S.NEW, _H.SLEEP): _S.HIBERNATED,
    (_S.STARTING, _H.CONSTRUCTED): _S.AWAKE,
    (_S.STARTING, _H.DRAIN): _S.DRAINING,
    (_S.AWAKE, _H.DRAIN): _S.DRAINING,
    (_S.AWAKE, _H.SLEEP): _S.HIBERNATED,
    (_S.DRAINING, _H.CONSTRUCTED): _S.DRAINING,
    (_S.DRAINING, _H.DRAIN): _S.DRAINING,
    (_S.DRAINING, _H.SLEEP): _S.HIBERNATED,
    **{(state, _H.FAILURE): _S.RESET for state in (_S.NEW, _S.STARTING, _S.AWAKE, _S.DRAINING)},
    **{(state, _H.STOP): _S.STOPPED for state in (_S.NEW, _S.STARTING, _S.AWAKE, _S.DRAINING)},
}

ENDED = frozenset({_S.HIBERNATED, _S.RESET, _S.STOPPED})
"""The states that nothing leads out of."""


def after(state: State, happening: Happening) -> State:
    """The state that follows."""
    following = TRANSITIONS.get((state, happening))
    assert following is not None, f"{happening} cannot happen to an activation that is {state}"
    return following
