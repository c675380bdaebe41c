from __future__ import annotations

import msgspec

from roost.cli.serving import for_development
from roost.config import Settings
from roost.limits import Limits


def test_development_shows_errors_and_does_not_wait_long_for_objects() -> None:
    settings = for_development(Settings(app="", data=""))
    assert settings.debug
    assert settings.limits.drain_seconds_max == 3


def test_in_development_a_halt_at_a_breakpoint_is_no_reason_to_kill_anything() -> None:
    assert for_development(Settings(app="", data="")).limits.child_silence_seconds_max == 0


def test_a_shorter_wait_that_was_set_stays() -> None:
    settings = msgspec.structs.replace(Settings(app="", data=""), limits=Limits(drain_seconds_max=0.5))
    assert for_development(settings).limits.drain_seconds_max == 0.5
