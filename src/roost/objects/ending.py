"""The end of an activation: what becomes of everything it had."""

# Whatever the reason:
#
#  (1) Hibernating sockets stay. Active ones, whose listeners died with the memory, close with 1012.
#  (2) Uncommitted writes are dropped, and so are the effects made after them. Effects stamped before still leave when
#      their commits are durable, except when a write was lost: then nothing does, and the sockets whose messages were
#      not finished close with 1011, so that their clients know.
#  (3) Every request that has no answer yet gets the error, once. A message whose handler had begun counts as finished:
#      its sender's credit comes back.
#  (4) What the hibernating sockets told and no handler heard is left over for the next life. When its host stops there
#      is none here: the sockets of such messages, and of those that had begun, close with 1012. What comes while an
#      object is about to hibernate, requests too, is left over as well. An alarm that waits is rung again.
#  (5) A run of an alarm that was under way counts as failed when the object brought its end about; see `alarms`.
#  (6) Tasks are cancelled. What they still do reaches nothing.
#  (7) The host hears of it last.

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from roost.events import (
    Attach,
    AutoRespond,
    Close,
    Effect,
    Fetch,
    Finished,
    Ring,
    SocketClosed,
    SocketEvent,
    SocketMessage,
)
from roost.held_socket import CLOSING, OPEN, HeldSocket
from roost.objects.critical_section import CriticalSection
from roost.objects.doom import Doom
from roost.objects.gates import Section
from roost.objects.lifecycle import Happening
from roost.objects.turn import ObjectTask

if TYPE_CHECKING:
    from roost.objects.activation import Activation

RESTARTED = (1012, "the object was restarted")
LOST_WRITE = (1011, "the object could not store what this message changed")


def carry_out(activation: Activation, doom: Doom) -> None:
    """End the activation."""
    gate = activation.gate
    was_starting = activation.starting
    was_running, gate.running = gate.running, True
    gate.open = gate.free = False
    activation.storage.rollback()
    dropped = _drop_effects(activation, doom, was_starting=was_starting)
    _make_good(activation, dropped)
    if doom.error is not None:
        _settle_events(activation, doom, dropped, was_starting=was_starting)
    else:
        activation.leftovers = activation.gate.inbox.empty()  # it came during `pre_shutdown`
    _close_active(activation)
    activation.delivery.forget_all()
    activation.sockets.forget_unanswered()
    activation.outbox.close()
    activation.alarms.end(doom)
    activation.storage.close()
    activation.finish_life(doom.happening)
    gate.running = was_running
    _end_code(activation, doom)
    _tell(activation, doom)


def _drop_effects(activation: Activation, doom: Doom, *, was_starting: bool) -> list[Effect]:
    outbox = activation.outbox
    if doom.breaks_output:
        return outbox.drop_all(for_good=True)
    if was_starting:
        dropped = outbox.drop_all(for_good=False)
        outbox.let_go()
        return dropped
    return outbox.drop_since_write()


def _make_good(activation: Activation, dropped: list[Effect]) -> None:
    """Effects that were dropped had changed the host's copy of a socket already: it must agree with the gateway's."""
    for effect in dropped:
        if isinstance(effect, Close):
            effect.socket.ready_state = OPEN
        elif isinstance(effect, Attach | AutoRespond):
            activation.outbox.add(effect)


# -- events ------------------------------------------------------------------------------------------------------------


def _settle_events(activation: Activation, doom: Doom, dropped: list[Effect], *, was_starting: bool) -> None:
    waiting = activation.gate.inbox.empty()
    begun = [*activation.delivery.unfinished.values()]
    begun += [socket for effect in dropped if isinstance(effect, Finished) for socket in effect.sockets]
    _settle_sockets(activation, doom, begun, [event for event in waiting if isinstance(event, SocketEvent)])
    requests = [*activation.delivery.unanswered, *(event for event in waiting if isinstance(event, Fetch))]
    if doom.breaks_output or was_starting:
        requests += activation.delivery.leaving
    for request in requests:
        activation.outbox.add_departure(functools.partial(_fail, request, doom))
    for event in waiting:
        if isinstance(event, Ring):
            event.end(False)


def _settle_sockets(activation: Activation, doom: Doom, begun: list[HeldSocket], unheard: list[SocketEvent]) -> None:
    """What no handler heard is left over for the next life, if there can be one."""
    lost: Iterable[HeldSocket] = ()
    if doom.happening is Happening.STOP:
        lost = {**dict.fromkeys(begun), **{event.socket: None for event in unheard if type(event) is SocketMessage}}
        _close(activation, lost, RESTARTED)
        heirs: list[SocketEvent] = []
    else:
        if doom.breaks_output:
            lost = dict.fromkeys(begun)
            _close(activation, lost, LOST_WRITE)
        heirs = [event for event in unheard if _can_be_heard(activation, event, lost)]
    activation.leftovers = [*heirs]
    kept = set(heirs)
    dropped = [event for event in unheard if event not in kept]
    for socket in begun + [event.socket for event in dropped if type(event) is SocketMessage]:
        activation.outbox.finish(socket)
    for event in dropped:
        if type(event) is SocketClosed:
            activation.sockets.gone(event.socket)


def _can_be_heard(activation: Activation, event: SocketEvent, lost: Iterable[HeldSocket]) -> bool:
    """Whether there is somebody in the next life to hear it."""
    if not event.socket.hibernating:
        return False  # its listeners went with the memory
    if isinstance(event, SocketMessage):
        return event.socket not in lost  # without those that were lost it would be out of its order
    return activation.hears_end(event)


def _close(activation: Activation, sockets: Iterable[HeldSocket], code_and_reason: tuple[int, str]) -> None:
    for socket in sockets:
        if socket.ready_state == OPEN:
            socket.ready_state = CLOSING
            activation.outbox.add(Close(socket, *code_and_reason))


def _fail(request: Fetch, doom: Doom) -> None:
    request.fail(doom.for_caller())


# -- sockets, tasks, and who is told -----------------------------------------------------------------------------------


def _close_active(activation: Activation) -> None:
    for ws in activation.sockets.active.values():
        ws._gone()
    _close(activation, activation.sockets.active, RESTARTED)
    activation.sockets.active.clear()


def _end_code(activation: Activation, doom: Doom) -> None:
    """Cancel what is suspended. Those that had been lined up at the gate are woken, as nobody else would."""
    for ws in activation.sockets.standing.values():
        ws._gone()
    for stream in list(activation.streams):
        stream.fail(doom.for_caller())
    activation.streams.clear()
    activation.background.close()
    activation.periodics.close()
    activation.shutdown.end()
    lined_up = _lined_up(activation.gate.inner)
    activation.tasks.cancel_all()
    for task in lined_up:
        activation.loop.call_soon(activation.resume, task, context=activation.home)


def _lined_up(inner: Section) -> list[ObjectTask]:
    found: list[ObjectTask] = []
    section: Section | None = inner
    while section is not None:
        if isinstance(section, CriticalSection):
            section.stop_timer()
        found += [waiter for waiter in section.urgent if isinstance(waiter, ObjectTask)]
        found += [waiter for _, waiter in section.waiting if isinstance(waiter, ObjectTask)]
        for queued in section.queue:
            if isinstance(queued, CriticalSection):
                queued.drop()
        section.urgent.clear()
        section.waiting.clear()
        section.queue.clear()
        section = section.parent
    return found


def _tell(activation: Activation, doom: Doom) -> None:
    surroundings = activation.surroundings
    if doom.happening is Happening.FAILURE and doom.error is not None:
        activation.meter.reset(doom.cause)
        surroundings.observer.report(
            "object.failed",
            f"the object was reset ({doom.cause})",
            doom.error,
            id=activation.object_id,
            cause=doom.cause,
        )
    surroundings.ended(activation, doom.error)
