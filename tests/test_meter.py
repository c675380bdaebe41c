from __future__ import annotations

import json

from roost.meter import Meter


def busy() -> Meter:
    meter = Meter()
    meter.event("fetch")
    meter.event("socket_message")
    meter.event("socket_message")
    meter.activation("fetch")
    meter.error("ValueError")
    meter.reset("storage")
    meter.pinned("active WebSocket", 12.5)
    meter.pinned("active WebSocket", 2.5)
    meter.wakes += 1
    meter.messages_in += 2
    meter.bytes_in += 100
    meter.stored_bytes = 4_096
    meter.queued(3)
    meter.queued(1)
    return meter


def test_a_new_meter_shows_zeros() -> None:
    told = Meter().snapshot()
    assert {value for value in told.values() if not isinstance(value, dict)} == {0}
    assert [name for name, value in told.items() if isinstance(value, dict)] == [
        "events",
        "activations",
        "errors",
        "resets",
        "pinned_ms",
    ]


def test_what_was_counted_is_told_by_kind() -> None:
    told = busy().snapshot()
    assert told["events"] == {"fetch": 1, "socket_message": 2}
    assert told["activations"] == {"fetch": 1}
    assert told["errors"] == {"ValueError": 1}
    assert told["resets"] == {"storage": 1}
    assert told["pinned_ms"] == {"active WebSocket": 15.0}
    assert (told["wakes"], told["messages_in"], told["bytes_in"], told["stored_bytes"]) == (1, 2, 100, 4_096)
    assert told["queue_high_water"] == 3


def test_a_snapshot_is_of_plain_values_and_stays_as_it_was() -> None:
    meter = busy()
    told = meter.snapshot()
    written = json.dumps(told)
    meter.event("fetch")
    meter.wakes += 1
    assert json.dumps(told) == written


def test_meters_add_up_and_the_higher_mark_stays() -> None:
    total = Meter()
    total.queued(2)
    total.merge(busy())
    total.merge(busy())
    told = total.snapshot()
    assert told["events"] == {"fetch": 2, "socket_message": 4}
    assert told["pinned_ms"] == {"active WebSocket": 30.0}
    assert (told["bytes_in"], told["stored_bytes"], told["queue_high_water"]) == (200, 8_192, 3)
