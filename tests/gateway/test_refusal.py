from __future__ import annotations

import json

from roost.gateway.refusal import bad_gateway, bad_request, unavailable


def test_the_body_names_what_was_wrong() -> None:
    refusal = bad_request("the Host header is missing")
    assert json.loads(refusal.body()) == {"error": {"name": "BadRequest", "message": "the Host header is missing"}}
    assert ("Content-Type", "application/json; charset=utf-8") in refusal.lines()
    assert (refusal.status, refusal.close) == (400, True)


def test_unavailable_says_when_to_come_back() -> None:
    refusal = unavailable("no host")
    assert (refusal.status, refusal.close) == (503, False)
    assert ("Retry-After", "1") in refusal.lines()


def test_a_bad_answer_does_not_cost_the_connection() -> None:
    assert (bad_gateway("x").status, bad_gateway("x").close) == (502, False)
