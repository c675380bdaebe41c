from __future__ import annotations

import resource

from roost.supervisor.descriptors import raise_descriptor_limit, shortage


def test_the_limit_becomes_what_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_few_descriptors_are_told_with_what_can_be_done() -> None:
    text = shortage(1_024, databases=512)
    assert text is not None
    assert text.startswith(
        "the system allows each process 1024 open files and sockets; 512 open databases may need 1224"
    )
    assert "ulimit -n" in text
    assert "open_databases_max" in text


def test_enough_descriptors_are_nothing_to_tell() -> None:
    assert shortage(1_224, databases=512) is None
    assert shortage(resource.RLIM_INFINITY, databases=512) is None
