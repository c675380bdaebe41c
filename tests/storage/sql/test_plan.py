"""Plans that are kept."""

from __future__ import annotations

from roost.storage.sql.plan import Plan, Plans


def plan(text: str) -> Plan:
    return Plan(text=text, rest="", count=0, names=(), columns=(), writes=False, reads=False)


def test_a_plan_is_found_by_the_text_it_was_made_of() -> None:
    plans = Plans()
    kept = plan("SELECT 1")
    plans.keep("SELECT 1; -- one", kept)
    assert plans.get("SELECT 1; -- one") is kept
    assert plans.get("SELECT 1") is None
    plans.forget()
    assert (plans.get("SELECT 1; -- one"), len(plans)) == (None, 0)


def test_their_number_is_bounded() -> None:
    plans = Plans()
    for number in range(1000):
        plans.keep(f"{number}", plan(""))
    assert len(plans) == 256
    assert plans.get("999") is not None
    assert plans.get("0") is None


def test_their_text_is_bounded() -> None:
    plans = Plans()
    for number in range(100):
        plans.keep(f"{number}" + "x" * 100_000, plan(""))
    assert len(plans) == 10
    plans.keep("y" * 5_000_000, plan(""))
    assert len(plans) == 1


def test_a_plan_that_is_kept_again_is_counted_once() -> None:
    plans = Plans()
    for _ in range(1000):
        plans.keep("x" * 100_000, plan(""))
    plans.keep("y", plan(""))
    assert len(plans) == 2
