from __future__ import annotations

import msgspec
import pytest

from roost.limits import DEFAULTS, Limits

PLATFORM = {
    "name_bytes_max": 1_024,
    "sockets_per_object_max": 32_768,
    "tags_per_socket_max": 10,
    "tag_bytes_max": 256,
    "attachment_bytes_max": 16_384,
    "auto_response_bytes_max": 2_048,
    "message_bytes_max": 32 * 1024 * 1024,
    "socket_event_ms_max": 604_800_000,
    "key_bytes_max": 2_048,
    "value_bytes_max": 2_000_000,
    "keys_per_call_max": 128,
    "object_bytes_max": 10_000_000_000,
    "critical_section_seconds_max": 30,
    "critical_section_depth_max": 64,
    "output_gate_seconds_max": 30,
    "wait_until_seconds_max": 900,
}
"""Durable Objects, "Limits", autumn of 2026."""


@pytest.mark.parametrize(("name", "least"), PLATFORM.items())
def test_no_default_is_below_the_platform_we_match(name: str, least: int) -> None:
    assert getattr(DEFAULTS, name) >= least


def test_objects_sleep_after_ten_seconds() -> None:
    assert DEFAULTS.idle_seconds == 10


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="no_such_limit"):
        msgspec.convert({"no_such_limit": 1}, Limits)


def test_limits_do_not_change_under_way() -> None:
    with pytest.raises(AttributeError):
        DEFAULTS.idle_seconds = 1.0  # type: ignore[misc]
