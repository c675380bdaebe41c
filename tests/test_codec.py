"""Stored values: what comes back, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import zoneinfo
from collections import OrderedDict
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost import codec
from roost.codec import Codec, StoredError
from roost.errors import InvalidArgumentError, UnserialisableError, WrongTypeError


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: tuple[int, ...] = ()


class Stroke(msgspec.Struct):
    owner: Any
    points: list[Point] = []


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: int
    right: int = 7


class BoardError(Exception):
    pass


@pytest.fixture
def own() -> Codec:
    own = Codec()
    for cls in (Point, Stroke, Colour, Right, Pair, BoardError):
        own.register(cls)
    return own


def same(one: object, other: object) -> bool:
    """Equal, of the same types all the way down, NaN being equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return one == other


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
KEYS = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(SCALARS, max_size=3)
VALUES = st.recursive(
    SCALARS | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=3)
        | st.frozensets(KEYS, max_size=3)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_comes_back_with_its_types(value: object) -> None:
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        2**64,
        -(2**63) - 1,
        10**400,
        -(10**400),
        float("inf"),
        -0.0,
        float("nan"),
        1,
        True,
        1.0,
        "",
        b"",
        [],
        {},
        (),
    ],
)
def test_numbers_and_empty_values_are_exact(value: object) -> None:
    assert same(codec.decode(codec.encode([value]))[0], value)


def test_views_and_bytearrays_come_back_as_bytes() -> None:
    value = [bytearray(b"ab"), memoryview(b"abcdef")[::2], {"k": memoryview(b"x")}]
    assert codec.decode(codec.encode(value)) == [b"ab", b"ace", {"k": b"x"}]


def test_dictionary_keys_keep_their_types_and_order() -> None:
    value = {1: "int", "1": "str", b"1": "bytes", None: "none", 1.5: "float", (1, "a"): "tuple", UUID(int=1): "uuid"}
    assert list(codec.decode(codec.encode(value)).items()) == list(value.items())


def test_datetimes_keep_their_zone_or_their_lack_of_one() -> None:
    berlin = dt.datetime(2024, 10, 27, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"), fold=1)
    fixed = dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    naive = dt.datetime(2024, 1, 1, 12)
    back = codec.decode(codec.encode([berlin, fixed, naive]))
    assert back == [berlin, fixed, naive]
    assert back[0].tzinfo is berlin.tzinfo
    assert back[0].fold == 1
    assert back[1].utcoffset() == dt.timedelta(hours=5, minutes=30)
    assert back[2].tzinfo is None


def test_times_keep_their_zone() -> None:
    zoned = dt.time(1, 2, 3, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    back = codec.decode(codec.encode((zoned, dt.time(4, tzinfo=dt.UTC))))
    assert back == (zoned, dt.time(4, tzinfo=dt.UTC))
    assert back[0].tzinfo is zoned.tzinfo


def test_a_read_gives_a_fresh_copy() -> None:
    value: dict[str, list[int]] = {"points": [1]}
    raw = codec.encode(value)
    value["points"].append(2)
    first = codec.decode(raw)
    first["points"].append(3)
    assert codec.decode(raw) == {"points": [1]}


def test_shared_parts_are_stored_twice() -> None:
    part = [1]
    back = codec.decode(codec.encode((part, part)))
    assert back == ([1], [1])
    assert back[0] is not back[1]


def test_registered_classes_come_back_as_themselves(own: Codec) -> None:
    value = [
        Point(1, (2, 3)),
        Stroke(Colour.RED, [Point(4)]),
        Right.READ | Right.WRITE,
        Pair(1, 2),
        {Point(1): Colour.BLUE},
    ]
    back = own.decode(own.encode(value))
    assert back == value
    assert [type(item) for item in back] == [type(item) for item in value]


def test_reading_does_not_run_the_constructor() -> None:
    made: list[int] = []

    @dataclasses.dataclass
    class Noisy:
        x: int

        def __post_init__(self) -> None:
            made.append(self.x)

    own = Codec()
    own.register(Noisy)
    raw = own.encode(Noisy(1))
    assert own.decode(raw) == Noisy(1)
    assert made == [1, 1]


def test_fields_that_came_or_went_are_bridged() -> None:
    @dataclasses.dataclass
    class Old:
        gone: int
        kept: int

    @dataclasses.dataclass
    class New:
        kept: int
        added: list[int] = dataclasses.field(default_factory=list)
        fixed: str = "d"

    @dataclasses.dataclass
    class Strict:
        kept: int
        required: int

    old, new, strict = Codec(), Codec(), Codec()
    old.register(Old, "thing")
    new.register(name="thing")(New)
    strict.register(Strict, "thing")
    raw = old.encode(Old(1, 2))
    assert new.decode(raw) == New(2)
    with pytest.raises(UnserialisableError, match=r"a stored thing does not fit .*Strict any more: .*'required'"):
        strict.decode(raw)


def test_a_member_that_is_gone_is_named(own: Codec) -> None:
    class Fewer(enum.Enum):
        BLUE = "b"

    fewer = Codec()
    fewer.register(Fewer, "Colour")
    with pytest.raises(UnserialisableError, match=r"a stored Colour does not fit .*RED"):
        fewer.decode(own.encode(Colour.RED))


def test_exceptions_keep_class_and_message(own: Codec) -> None:
    value = [ValueError("no"), BoardError("full"), KeyError("k")]
    back = own.decode(own.encode(value))
    assert [(type(e), str(e)) for e in back[:2]] == [(ValueError, "no"), (BoardError, "full")]
    assert type(back[2]) is KeyError


def test_an_unknown_exception_comes_back_as_stored_error(own: Codec) -> None:
    back = codec.decode(own.encode(BoardError("full")))
    assert type(back) is StoredError
    assert (back.name, str(back)) == ("BoardError", "full")
    again = codec.decode(codec.encode(back))
    assert (again.name, str(again)) == ("BoardError", "full")
    assert repr(again) == "StoredError('BoardError', 'full')"


def test_an_exception_name_never_leads_to_anything_but_an_exception() -> None:
    class eval(Exception):  # noqa: A001
        pass

    back = codec.decode(codec.encode(eval("1")))
    assert type(back) is StoredError


class Foo:
    pass


async def coroutine() -> None:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"strokes": [1, 2, 3, Stroke(Foo())]},
            r"^value\[.strokes.\]\[3\]: Stroke is not registered; use @roost\.register$",
        ),
        ([Foo()], r"^value\[0\]: Foo is not carried; store plain values, or make it a dataclass"),
        ({"f": len}, r"^value\['f'\]: builtin_function_or_method .* is code"),
        (lambda: 1, r"^value: function .* is code, and only values are stored"),
        ((1, Foo), r"^value\[1\]: the class Foo is code"),
        ({Colour.RED: 1}, r"^value key .*: Colour is not registered"),
        ([{1, Right.READ}], r"^value\[0\]\{.*\}: Right is not registered"),
        (OrderedDict(a=1), r"^value: OrderedDict is a subclass of dict; store dict\(value\) instead"),
        ([1, "\ud800"], r"^value\[1\]: a lone surrogate"),
        ({"\ud800": 1}, r"^value key .*: a lone surrogate"),
        (1j, r"^value: complex is not carried"),
        (KeyboardInterrupt(), r"^value: KeyboardInterrupt is not carried"),
    ],
)
def test_what_is_not_carried_is_refused_with_its_place(value: object, message: str) -> None:
    with pytest.raises(UnserialisableError, match=message):
        codec.encode(value)


def test_the_path_goes_into_registered_instances(own: Codec) -> None:
    with pytest.raises(UnserialisableError, match=r"^board\['strokes'\]\[0\]\.owner: Foo is not carried"):
        own.encode({"strokes": [Stroke(Foo())]}, "board")


def test_coroutines_are_refused_with_advice() -> None:
    pending = coroutine()
    with pytest.raises(UnserialisableError, match="coroutine is not a value; await it first"):
        codec.encode([pending])
    pending.close()


def test_cycles_are_refused_where_they_close() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(UnserialisableError, match=r"^value\[1\]\['again'\]: this list contains itself"):
        codec.encode(loop)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_nesting_is_bounded_and_everything_within_the_bound_is_read_back(wrap: Any) -> None:
    value: Any = 1
    for _ in range(codec.DEPTH_MAX):
        value = wrap(value)
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(UnserialisableError, match="nested more than 200 deep"):
        codec.encode(wrap(value))


def test_an_unregistered_name_is_told_on_reading(own: Codec) -> None:
    with pytest.raises(UnserialisableError, match="a stored Point cannot be read: no class is registered"):
        codec.decode(own.encode(Point(1)))


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", b"\x92\x01", b"\xd4\x63\x01", b"\xd4\x05\x01", b"\xd4\x0a\x01", b"\x01\x01"]
)
def test_bytes_that_are_no_value_are_refused(raw: bytes) -> None:
    with pytest.raises(UnserialisableError):
        codec.decode(raw)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_named_error(raw: bytes) -> None:
    try:
        codec.decode(raw)
    except UnserialisableError:
        return


def test_only_carriable_classes_can_be_registered() -> None:
    with pytest.raises(WrongTypeError, match=r"register takes a dataclass, Struct, enum, .* got the class Foo"):
        codec.register(Foo)
    with pytest.raises(WrongTypeError, match="must be a non-empty str"):
        Codec().register(Point, "")


def test_one_name_stands_for_one_class(own: Codec) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'Point' is already registered for .*Point; give .*Stroke a name"):
        own.register(Stroke, "Point")
    own.register(Point)


def test_decimals_keep_their_digits() -> None:
    back = codec.decode(codec.encode([Decimal("1.10"), Decimal("NaN"), Decimal("-Infinity")]))
    assert [str(item) for item in back] == ["1.10", "NaN", "-Infinity"]
