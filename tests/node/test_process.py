from __future__ import annotations

import errno
from typing import Any

import pytest

from roost.errors import AppLoadError, ConfigurationError, DataDirectoryError, LinkError, ObjectError
from roost.node.process import failed_from
from roost.supervisor.messages import Failed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigurationError("no"), "configuration"),
        (DataDirectoryError("no"), "data"),
        (LinkError("no"), "address"),
        (AppLoadError("no"), "app"),
    ],
)
def test_a_failure_is_told_by_who_can_do_something_about_it(error: Any, kind: str) -> None:
    assert failed_from(error) == Failed(kind, "no")


def test_a_failure_of_the_system_names_its_cause() -> None:
    assert failed_from(OSError(errno.EACCES, "Permission denied", "/x")).kind == "address"
    failed = failed_from(ObjectError("no"))
    assert failed.kind == "internal"
    assert failed.raised is not None


def test_an_app_that_raised_is_told_in_one_line_with_what_it_raised() -> None:
    error = AppLoadError("app.py does not import: KeyError: 'x'\nTraceback ...\n")
    error.__cause__ = KeyError("x")
    failed = failed_from(error)
    assert failed.message == "app.py does not import: KeyError: 'x'"
    assert failed.raised is not None
    assert (failed.raised.kind, failed.raised.message) == ("KeyError", "'x'")
