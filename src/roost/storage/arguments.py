"""What callers hand to the storage, checked: each refusal says what came and what was expected."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from roost import codec
from roost.errors import InvalidArgumentError, LimitExceededError, WrongTypeError
from roost.limits import Limits
from roost.storage.kv import KeyRange


def encoded(key: object, value: object, limits: Limits) -> tuple[str, bytes]:
    """A key, and the bytes of its value."""
    checked = checked_key(key, limits)
    raw = codec.encode(value)
    if len(raw) > limits.value_bytes_max:
        raise LimitExceededError(
            f"a stored value may have {limits.value_bytes_max} bytes, that of {checked[:80]!r} has {len(raw)}",
            limit=limits.value_bytes_max,
            actual=len(raw),
        )
    return checked, raw


def checked_key(key: object, limits: Limits, what: str = "a key") -> str:
    """A key that can be stored; `what` names it in errors."""
    if not isinstance(key, str):
        raise WrongTypeError(f"{what} must be a str, got {type(key).__name__}")
    try:
        size = len(key) if key.isascii() else len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{what} has a lone surrogate, which UTF-8 cannot hold: {key!r:.80}") from error
    if size > limits.key_bytes_max:
        raise LimitExceededError(
            f"{what} may have {limits.key_bytes_max} bytes of UTF-8, {key[:40]!r}… has {size}",
            limit=limits.key_bytes_max,
            actual=size,
        )
    return key


def checked_keys(keys: object, limits: Limits) -> list[str]:
    """The keys of one call."""
    if not isinstance(keys, list | tuple | set | frozenset):
        raise WrongTypeError(f"a str or a list of str is needed, got {type(keys).__name__}")
    check_count(len(keys), limits)
    return [checked_key(key, limits) for key in keys]


def check_count(count: int, limits: Limits) -> None:
    """Refuse more keys than one call may have."""
    if count > limits.keys_per_call_max:
        raise LimitExceededError(
            f"one call may have {limits.keys_per_call_max} keys, this one has {count}",
            limit=limits.keys_per_call_max,
            actual=count,
        )


def checked_range(
    start: str | None,
    start_after: str | None,
    end: str | None,
    prefix: str | None,
    reverse: bool,
    limit: int | None,
    limits: Limits,
) -> KeyRange:
    """The options of a listing."""
    if start is not None and start_after is not None:
        raise InvalidArgumentError("list takes start or start_after, not both")
    named = {"start": start, "start_after": start_after, "end": end, "prefix": prefix}
    for name, bound in named.items():
        if bound is not None:
            checked_key(bound, limits, name)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise WrongTypeError(f"limit must be an int, got {type(limit).__name__}")
    if limit is not None and limit <= 0:
        raise InvalidArgumentError(f"limit must be at least 1, got {limit}")
    return KeyRange(start=start, start_after=start_after, end=end, prefix=prefix, reverse=bool(reverse), limit=limit)


def takes_argument(function: Callable[..., Any], *, named: str | None = None) -> bool:
    """Whether the function has a parameter to be given: the first, if it has no default or is called `named`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False  # written in C, which tells nothing of its parameters
    if not parameters or parameters[0].kind not in _POSITIONAL:
        return False
    return parameters[0].default is inspect.Parameter.empty or parameters[0].name == named


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
