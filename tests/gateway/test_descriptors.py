from __future__ import annotations

import resource

import pytest

from roost.gateway.descriptors import REFUSED_AT_ONCE_MAX, RESERVED, Descriptors, raise_descriptor_limit


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_the_limit_cannot_be_raised_what_there_is_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not permitted to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1_024))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert Descriptors().allowed == 256


def test_some_are_kept_for_what_is_no_client() -> None:
    some = Descriptors(1_000)
    room = 1_000 - RESERVED
    assert (some.are_short(room - 1), some.are_short(room)) == (False, True)
    last = room + REFUSED_AT_ONCE_MAX
    assert (some.are_gone(last - 1), some.are_gone(last)) == (False, True)


def test_a_small_limit_leaves_half_for_clients() -> None:
    assert (Descriptors(100).are_short(49), Descriptors(100).are_short(50)) == (False, True)


def test_without_a_limit_there_is_always_room() -> None:
    some = Descriptors(resource.RLIM_INFINITY)
    assert (some.are_short(10**9), some.are_gone(10**9)) == (False, False)


def test_it_is_said_once_and_again_when_there_was_room_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    some = Descriptors(1_000)
    for connections in (800, 801, 799, 800):
        some.are_short(connections)
    assert caplog.text.count("LimitNOFILE") == 1
    for connections in (700, 800):
        some.are_short(connections)
    assert caplog.text.count("LimitNOFILE") == 2
