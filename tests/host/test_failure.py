from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from roost import errors
from roost.errors import (
    HostLostError,
    InvalidArgumentError,
    LimitExceededError,
    OutputGateBrokenError,
    OverloadedError,
    RemoteError,
    StorageFullError,
    UnavailableError,
)
from roost.host.failure import decode_error, encode_error, error_response, status_of
from roost.request import Request


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - it is what the test is about
        return caught


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OverloadedError("full"), 503),
        (UnavailableError("away"), 503),
        (HostLostError("gone"), 503),
        (StorageFullError("full"), 507),
        (TimeoutError(), 504),
        (InvalidArgumentError("wrong"), 500),
        (RuntimeError("x"), 500),
    ],
)
def test_each_kind_of_error_has_its_status(error: Exception, status: int) -> None:
    response = error_response(error)
    assert status_of(error) == response.status == status
    assert ("Retry-After" in response.headers) is (status == 503)


def test_a_broken_output_gate_has_the_status_of_what_broke_it() -> None:
    error = OutputGateBrokenError("not durable")
    assert status_of(error) == 500
    error.__cause__ = StorageFullError("disk full")
    assert status_of(error) == 507


PAGE = (Path(__file__).parents[2] / "docs" / "concepts" / "errors.md").read_text(encoding="utf-8")


def test_the_page_on_errors_has_every_error_with_its_status() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert listed == {kind.__name__: str(status_of(kind.__new__(kind))) for kind in kinds}


async def test_a_client_learns_nothing_of_the_code() -> None:
    response = error_response(raised(RuntimeError("secret")))
    assert await response.text() == "The app failed to answer this request.\n"
    request = Request("http://x/", headers={"Accept": "application/json"})
    body = await error_response(raised(RuntimeError("secret")), request).text()
    assert json.loads(body) == {"error": "The app failed to answer this request."}


async def test_with_debug_the_client_sees_the_traceback_in_the_form_it_asks_for() -> None:
    error = raised(RuntimeError("<secret>"))
    page = error_response(error, Request("http://x/", headers={"Accept": "text/html,*/*"}), debug=True)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "RuntimeError: &lt;secret&gt;" in await page.text()
    told = await error_response(error, Request("http://x/", headers={"Accept": "application/json"}), debug=True).json()
    assert told["type"] == "RuntimeError"
    assert any("in raised" in line for line in told["traceback"])
    assert "in raised" in await error_response(error, Request("http://x/"), debug=True).text()


@pytest.mark.parametrize("name", [n for n, k in vars(errors).items() if isinstance(k, type) and n != "RemoteError"])
def test_an_error_of_roost_arrives_as_itself(name: str) -> None:
    kind = getattr(errors, name)
    if not issubclass(kind, Exception):
        return
    error = LimitExceededError("m", limit=1, actual=2) if kind is LimitExceededError else kind("m")
    arrived = decode_error(encode_error(raised(error)))
    assert type(arrived) is kind
    assert str(arrived) == "m"
    assert "on the object's host" in arrived.__notes__[0]
    assert (arrived.retryable, arrived.overloaded) == (kind.retryable, kind.overloaded)  # type: ignore[attr-defined]


def test_any_other_error_arrives_as_a_remote_error_that_names_it() -> None:
    arrived = decode_error(encode_error(raised(KeyError("board"))))
    assert isinstance(arrived, RemoteError)
    assert (arrived.kind, arrived.remote_message) == ("KeyError", "'board'")
    assert "in raised" in arrived.remote_traceback
    assert str(arrived) == "KeyError: 'board'"


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def test_the_first_cause_of_roosts_own_comes_along_and_gives_the_status() -> None:
    full = caused(OutputGateBrokenError("not durable"), caused(StorageFullError("disk full"), OSError(28, "no space")))
    arrived = decode_error(encode_error(decode_error(encode_error(raised(full)))))
    assert (type(arrived.__cause__), str(arrived.__cause__)) == (StorageFullError, "disk full")
    assert status_of(arrived) == 507
    app = decode_error(encode_error(caused(KeyError("x"), caused(ValueError("y"), OverloadedError("z")))))
    assert isinstance(app, RemoteError)
    assert type(app.__cause__) is OverloadedError
    assert decode_error(encode_error(caused(KeyError("x"), ValueError("y")))).__cause__ is None


def test_causes_that_go_round_do_not_go_on_for_ever() -> None:
    first, second = KeyError("x"), KeyError("y")
    first.__cause__, second.__cause__ = second, first
    assert decode_error(encode_error(first)).__cause__ is None


def test_a_class_of_the_same_name_is_not_taken_for_roosts_own() -> None:
    class OverloadedError(Exception): ...

    arrived = decode_error(encode_error(OverloadedError("mine")))
    assert isinstance(arrived, RemoteError)
    assert arrived.kind == "OverloadedError"


def test_a_remote_error_crosses_a_second_link_unchanged() -> None:
    first = decode_error(encode_error(raised(KeyError("board"))))
    second = decode_error(encode_error(first))
    assert isinstance(first, RemoteError)
    assert isinstance(second, RemoteError)
    assert (second.kind, second.remote_message, second.remote_traceback) == (
        first.kind,
        first.remote_message,
        first.remote_traceback,
    )


def test_what_an_error_said_of_itself_is_kept() -> None:
    error = RuntimeError("busy")
    error.overloaded = True  # type: ignore[attr-defined]
    arrived = decode_error(encode_error(error))
    assert isinstance(arrived, RemoteError)
    assert (arrived.retryable, arrived.overloaded) == (False, True)


def test_a_reset_without_an_error_is_a_lost_host() -> None:
    assert isinstance(decode_error("the client went away"), HostLostError)
