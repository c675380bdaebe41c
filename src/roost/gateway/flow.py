"""How much of what clients sent may be under way to one host.

(1) Every message counts, from the moment it was read until the host has finished it, held messages too.
(2) A socket above its own bound, or any that sends while the link is above its bound or does not drain, is not read.
(3) It is read again when it is below half of its own bound, and the link below half of the link's.
(4) A socket that is gone still counts for the link until the host has finished what it sent.
"""

from __future__ import annotations

from roost.limits import Limits

MESSAGE_COST = 64
"""What a message weighs apart from its bytes, so that empty ones are bounded too."""


class Account:
    """What one socket has under way; whoever has one says how its client is read and not read."""

    __slots__ = ("costs", "held", "unfinished")

    def __init__(self) -> None:
        self.costs: list[int] = []
        """Of each message under way, oldest first."""
        self.unfinished = 0
        self.held = 0
        """How many of them, the newest, have not been handed over because the host is away."""

    @property
    def handed_over(self) -> int:
        return len(self.costs) - self.held

    def stop_reading(self) -> None:
        raise AssertionError("an account belongs to a socket, which knows how to stop reading")

    def start_reading(self) -> None:
        raise AssertionError("an account belongs to a socket, which knows how to start reading")


class Ledger:
    """What all sockets of one host have under way."""

    def __init__(self, limits: Limits) -> None:
        self.unfinished = 0
        self._link_max = limits.link_unfinished_bytes_max
        self._present_max = limits.socket_unfinished_bytes_max
        self._away_max = limits.socket_away_bytes_max
        self._socket_max = self._away_max
        self._choked = False
        self._blocked: dict[Account, None] = {}

    def take(self, account: Account, size: int) -> None:
        """A message of the socket is under way."""
        cost = size + MESSAGE_COST
        account.costs.append(cost)
        account.unfinished += cost
        self.unfinished += cost
        above = account.unfinished > self._socket_max or self.unfinished > self._link_max or self._choked
        if above and account not in self._blocked:
            self._blocked[account] = None
            account.stop_reading()

    def give(self, account: Account) -> None:
        """The oldest message of the socket is finished."""
        costs = account.costs
        if len(costs) <= account.held:
            return  # from before a loss of the link; it was given back then
        cost = costs.pop(0)
        account.unfinished -= cost
        self.unfinished -= cost
        if self._blocked:
            self._unblock(account)

    def choke(self, choked: bool) -> None:
        """The link takes no more bytes for now, or does again."""
        self._choked = choked
        if not choked:
            self._unblock_all()

    def host_is_away(self, away: bool) -> None:
        """While it is, less may wait for each socket."""
        self._socket_max = self._away_max if away else self._present_max
        self._unblock_all()

    def forget_handed_over(self, account: Account) -> None:
        """The host that had them is gone."""
        lost = account.costs[: account.handed_over]
        del account.costs[: len(lost)]
        account.unfinished -= sum(lost)
        self.unfinished -= sum(lost)

    def forget_held(self, account: Account) -> None:
        """What was held for it is dropped."""
        dropped = account.costs[account.handed_over :]
        del account.costs[account.handed_over :]
        account.held = 0
        account.unfinished -= sum(dropped)
        self.unfinished -= sum(dropped)

    def close(self, account: Account) -> None:
        """It will send nothing more."""
        self._blocked.pop(account, None)

    def _unblock(self, account: Account) -> None:
        if self._is_low:
            self._unblock_all()
        elif account in self._blocked and self._may_read(account):
            del self._blocked[account]
            account.start_reading()

    @property
    def _is_low(self) -> bool:
        return self.unfinished <= self._link_max // 2 and not self._choked

    def _may_read(self, account: Account) -> bool:
        return self._is_low and account.unfinished <= self._socket_max // 2

    def _unblock_all(self) -> None:
        for account in [account for account in self._blocked if self._may_read(account)]:
            del self._blocked[account]
            account.start_reading()
