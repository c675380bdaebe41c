"""Tables of contents: what they tell, and how far back they repeat those before them."""

from __future__ import annotations

from roost.storage.journal.contents import Content, TableMaker, decode_contents, decode_echo


def test_a_table_is_read_back_as_it_was_written() -> None:
    contents = [Content(bytes([n]) * 32, "ROOM", n << 40, None if n % 2 else n) for n in range(5)]
    assert decode_contents(TableMaker().tables(contents).contents) == contents


def echoed(maker: TableMaker) -> list[int]:
    return [echo.offset for echo in decode_echo(maker.tables([]).echo)]


def test_tables_are_repeated_as_far_back_as_one_bad_block_reaches() -> None:
    maker = TableMaker()
    for number in range(100):
        tables = maker.tables([Content(bytes(32), "ROOM", number)])
        maker.wrote(1, number * 500, 500, tables)
    first = echoed(maker)[0]
    # A block that takes a byte of the last entry away begins no earlier than 4095 bytes before it.
    assert first <= 99 * 500 - 4095 < first + 2 * 500


def test_a_large_entry_and_the_last_one_are_always_repeated() -> None:
    maker = TableMaker()
    for number, size in enumerate((100, 1_000_000, 50_000)):
        maker.wrote(7, number, size, maker.tables([Content(bytes(32), "ROOM", number)]))
    assert echoed(maker) == [1, 2]
    (_, last) = decode_echo(maker.tables([]).echo)
    assert (last.sequence, last.length, last.read()) == (7, 50_000, [Content(bytes(32), "ROOM", 2)])
