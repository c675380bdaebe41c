"""Effects on their way out of an object."""

# What the object does to the world during a turn is gathered here.
#
#  (1) Effects leave in the order in which the object made them, across turns.
#  (2) They are stamped when the turn ends: those made before the turn's first confirmed write wait for earlier commits
#      only, those made after it wait for the turn's own commit too.
#  (3) A run of sends of the same message to different sockets becomes one effect. Anything in between ends the run.
#  (4) While the object is being constructed nothing leaves; if that fails, what was made meanwhile never does.
#  (5) After `close` nothing is taken any more; what was taken and stamped before still leaves.

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from roost.events import Depart, Effect, Finished, Outlet, Send, SendToTagged
from roost.held_socket import HeldSocket
from roost.meter import Meter
from roost.objects.gates import InputGate, OutputGate

NO_RUN = object()
"""In place of a message: there is no run of sends to fold into. Nobody can send it."""


class Outbox:
    """The effects of one activation: of the present turn in `turn`, of those that wait for commits in `_held`."""

    __slots__ = (
        "_closed",
        "_gate",
        "_held",
        "_holding",
        "_meter",
        "_on_stray",
        "_outlet",
        "_output_gate",
        "_written_at",
        "fold_data",
        "fold_sockets",
        "message_bytes_max",
        "turn",
    )

    def __init__(
        self,
        outlet: Outlet,
        input_gate: InputGate,
        output_gate: OutputGate,
        meter: Meter,
        on_stray: Callable[[], None],
        message_bytes_max: int,
    ) -> None:
        self.message_bytes_max = message_bytes_max
        self._outlet = outlet
        self._gate = input_gate
        self._output_gate = output_gate
        self._meter = meter
        self._on_stray = on_stray
        self.turn: list[Effect] = []
        self._held: deque[tuple[int, list[Effect]]] = deque()
        self._holding = 0
        self._closed = False
        self._written_at: int | None = None
        """How many effects the turn had made when it first wrote."""
        self.fold_data: object = NO_RUN
        """The message of the present run of sends, or NO_RUN."""
        self.fold_sockets: list[HeldSocket] = []
        """The sockets of the present run; another list for each run."""

    @property
    def is_empty(self) -> bool:
        return not self._held and not self.turn

    @property
    def is_passing(self) -> bool:
        """Whether what is made now leaves at the end of its turn, unless the turn writes."""
        return not self._holding and self._output_gate.durable >= self._output_gate.needed

    # -- making effects ------------------------------------------------------------------------------------------------

    def add(self, effect: Effect) -> None:
        """Anything that leaves the object."""
        if self._closed:
            return
        if not self._gate.running:
            self._on_stray()
        if self.fold_data is not NO_RUN:
            self.end_run()
        self.turn.append(effect)

    def add_departure(self, leave: Callable[[], None]) -> None:
        """A call that takes something out of the object; it must not raise."""
        self.add(Depart(leave))

    def begin_run(self, socket: HeldSocket, data: str | bytes) -> list[HeldSocket]:
        """Send a message to a socket; to send it to more sockets, append them to the result while `fold_data` is the
        message.
        """
        sockets = [socket]
        if self._closed:
            return sockets
        if not self._gate.running:
            self._on_stray()
        if self.fold_data is not NO_RUN:
            self.end_run()
        self.turn.append(Send(data, sockets))
        self.fold_data = data
        self.fold_sockets = sockets
        return sockets

    def finish(self, socket: HeldSocket) -> None:
        """A message of that socket was handled to the end."""
        turn = self.turn
        if not turn:
            self.add(Finished([socket]))
            return
        last = turn[-1]
        if type(last) is Finished:
            last.sockets.append(socket)
        elif not self._closed:
            if self.fold_data is not NO_RUN:
                self.end_run()
            turn.append(Finished([socket]))

    def end_run(self) -> None:
        """No further send is joined with those before."""
        data = self.fold_data
        if data is not NO_RUN:
            count = len(self.fold_sockets)
            meter = self._meter
            meter.messages_out += count
            meter.bytes_out += count * len(data)  # type: ignore[arg-type]  # a message, see `fold_data`
            self.fold_data = NO_RUN

    def broadcasts(self) -> list[SendToTagged]:
        """Those that have not left."""
        lists = [effects for _, effects in self._held] + [self.turn]
        return [effect for effects in lists for effect in effects if type(effect) is SendToTagged]

    # -- turns ---------------------------------------------------------------------------------------------------------

    def mark_write(self) -> None:
        """The turn makes its first write: what was made so far does not wait for it."""
        if self.fold_data is not NO_RUN:
            self.end_run()
        self._written_at = len(self.turn)

    def stamp_before_write(self) -> None:
        """The turn's commit is about to raise what effects wait for: let go of those made before its first write."""
        if self.fold_data is not NO_RUN:
            self.end_run()
        count = self._written_at
        if count:
            effects, self.turn = self.turn[:count], self.turn[count:]
            self._written_at = 0
            self._stamp(effects)

    def end_turns_before(self, count: int) -> None:
        """So many of the effects are of turns that were over before the present one, and had written nothing."""
        if not count:
            return
        effects, self.turn = self.turn[:count], self.turn[count:]
        if self._written_at is not None:
            self._written_at -= count
        self._stamp(effects)

    def end_turn(self) -> None:
        """The turn is over and its commit, if there was one, is known to the output gate."""
        if self.fold_data is not NO_RUN:
            self.end_run()
        self._written_at = None
        effects = self.turn
        if effects:
            self.turn = []
            gate = self._output_gate
            if self._holding or self._held or gate.needed > gate.durable:
                self._held.append((gate.needed, effects))
            else:
                self._outlet.emit(effects)

    def _stamp(self, effects: list[Effect]) -> None:
        gate = self._output_gate
        if self._holding or self._held or gate.needed > gate.durable:
            self._held.append((gate.needed, effects))
        else:
            self._outlet.emit(effects)

    def release(self) -> None:
        """Let everything leave that waits for no commit any more."""
        held = self._held
        if not held or self._holding:
            return
        durable = self._output_gate.durable
        while held and held[0][0] <= durable and not self._holding:
            self._outlet.emit(held.popleft()[1])

    # -- beginning and end ---------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let nothing leave until `let_go` was called as often as this."""
        self._holding += 1

    def let_go(self) -> None:
        self._holding -= 1
        self.release()

    def drop_since_write(self) -> list[Effect]:
        """What the turn made since its first write, which is being rolled back, never happened; it is returned."""
        self.end_run()
        if self._written_at is None:
            return []
        dropped = self.turn[self._written_at :]
        del self.turn[self._written_at :]
        self._written_at = None
        return dropped

    def drop_all(self, *, for_good: bool) -> list[Effect]:
        """Nothing that is held will leave; it is returned. `for_good`: what comes now is not held any more either."""
        self.end_run()
        self._written_at = None
        dropped = [effect for _, effects in self._held for effect in effects] + self.turn
        self._held.clear()
        self.turn = []
        if for_good:
            self._holding = 0
        return dropped

    def close(self) -> None:
        """Take nothing any more."""
        self.end_turn()
        self._closed = True
