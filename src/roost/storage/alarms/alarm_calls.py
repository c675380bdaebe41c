"""`ctx.storage`: the part about alarms."""

from __future__ import annotations

from roost.errors import InvalidArgumentError
from roost.limits import Limits
from roost.storage.alarms.alarms import UNNAMED, FailedAlarm
from roost.storage.alarms.due_time import When, due_ms
from roost.storage.arguments import checked_key
from roost.storage.object_storage import ObjectStorage
from roost.storage.ready import Ready


class AlarmCalls:
    """Base of Storage."""

    _storage: ObjectStorage
    _limits: Limits

    def get_alarm(self, key: str | None = None, *, allow_concurrency: bool = False) -> Ready[int | None]:
        """When the alarm is due, or is to be tried again, in milliseconds since the epoch; None when it is not set.

        With a key, that of the alarm which was set with it. While `alarm` runs its alarm is not set, unless it was set
        anew. The option changes nothing: reading answers at once.
        """
        return Ready(self._storage.alarms.get(self._alarm_name(key)))

    def set_alarm(
        self,
        when: When,
        *,
        key: str | None = None,
        allow_unconfirmed: bool = False,
        allow_concurrency: bool = False,
    ) -> Ready[None]:
        """Have the object's `alarm` method called at that time, at least once and never before; if it raises, again.

        `when` is an int of milliseconds since the epoch, a datetime with a time zone, or a timedelta from now; what is
        past means now. It replaces the alarm that was set before: there is one without a key, and one for each `key`.
        A write of this turn like any other; setting what is set already writes nothing.

        Raises WrongTypeError when the class has no method `alarm`, except in its constructor, where that is not known.
        """
        name = self._alarm_name(key)
        due = due_ms(when, self._storage.now_ms())
        limit = self._limits.alarms_per_object_max
        self._storage.alarms.set(name, due, limit=limit, confirmed=not allow_unconfirmed)
        return Ready(None)

    def delete_alarm(
        self, key: str | None = None, *, allow_unconfirmed: bool = False, allow_concurrency: bool = False
    ) -> Ready[bool]:
        """Remove the alarm, or the one with that key; whether it was set.

        A run that is under way goes on; if it fails, it is not tried again.
        """
        return Ready(self._storage.alarms.delete(self._alarm_name(key), confirmed=not allow_unconfirmed))

    def list_alarms(self) -> Ready[dict[str, int]]:
        """The alarms that were set with keys, and when each is due, the earliest first."""
        return Ready(self._storage.alarms.named())

    def list_failed_alarms(self) -> Ready[list[FailedAlarm]]:
        """The last ten alarms that were given up because every retry failed, the latest last."""
        return Ready(self._storage.alarms.failed())

    def _alarm_name(self, key: str | None) -> str:
        if key is None:
            return UNNAMED
        if checked_key(key, self._limits, "the key of an alarm") == UNNAMED:
            raise InvalidArgumentError("the key of an alarm must not be empty; leave it out for the alarm without one")
        return key
