"""JSON in and out, with errors that say where. Integers of any size stay exact; datetimes, dataclasses and Structs are
written too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from roost.errors import InvalidArgumentError, UnserialisableError

_BOM = b"\xef\xbb\xbf"
_encoder = msgspec.json.Encoder()


def encode_json(value: object) -> bytes:
    """The value as compact JSON. Raises UnserialisableError when it holds what JSON cannot carry."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise UnserialisableError(f"a str with a lone surrogate cannot be written as JSON: {error}") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnserialisableError(f"{type(value).__name__} cannot be written as JSON: {error}") from error


def decode_json(text: bytes | str, kind: Any = Any, what: str = "the text") -> Any:
    """The value that the JSON holds, checked against the type `kind` if there is one.

    Raises InvalidArgumentError that says what was wrong and at which byte or at which path.
    """
    if isinstance(text, bytes):
        text = text.removeprefix(_BOM)
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"{what} does not have the expected shape: {error}") from error
    except msgspec.DecodeError as error:
        raise InvalidArgumentError(f"{what} is not JSON: {error}; it begins {text[:40]!r}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"{what} is not JSON: it is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise InvalidArgumentError(f"{what} is nested too deeply") from error
