from __future__ import annotations

from email.utils import formatdate
from pathlib import Path

import pytest

from roost.asset_answer import CHUNK_BYTES, Answer, Asset, Representation, answer
from roost.headers import Headers

SECOND = 1_000_000_000
TEXT = b"0123456789"


@pytest.fixture
def asset(tmp_path: Path) -> Asset:
    path = tmp_path / "file.txt"
    path.write_bytes(TEXT)
    return Asset(Representation(str(path), 10, 1_000 * SECOND + 5), (), "text/plain")


def got(asset: Asset, method: str = "GET", **headers: str) -> Answer:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(asset, method, Headers(lines), "no-cache")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("nonsense", 200),
    ],
)
def test_if_none_match_decides_about_304(asset: Asset, asked: str, status: int) -> None:
    response = got(asset, if_none_match=asked.format(etag=asset.plain.etag))
    assert response.status == status
    assert b"".join(response.body) == (b"" if status == 304 else TEXT)


def test_a_304_keeps_what_caches_need_and_nothing_about_the_body(asset: Asset) -> None:
    headers = got(asset, if_none_match="*").headers
    assert list(headers) == ["ETag", "Last-Modified", "Cache-Control"]


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(999, 200), (1_000, 304), (1_001, 304)],
)
def test_if_modified_since_counts_whole_seconds(asset: Asset, seconds: int, status: int) -> None:
    assert got(asset, if_modified_since=formatdate(seconds, usegmt=True)).status == status


def test_if_modified_since_does_not_count_beside_if_none_match(asset: Asset) -> None:
    later = formatdate(2_000, usegmt=True)
    assert got(asset, if_modified_since=later, if_none_match='"other"').status == 200


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Foo 2020 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00"])
def test_a_date_that_is_none_counts_as_not_given(asset: Asset, date: str) -> None:
    assert got(asset, if_modified_since=date).status == 200


@pytest.mark.parametrize(
    ("asked", "text", "told"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=7-99", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", TEXT, "bytes 0-9/10"),
        ("Bytes=9-9", b"9", "bytes 9-9/10"),
    ],
)
def test_one_range_is_served(asset: Asset, asked: str, text: bytes, told: str) -> None:
    response = got(asset, range=asked)
    assert (response.status, b"".join(response.body)) == (206, text)
    assert response.headers["content-range"] == told
    assert response.headers["content-length"] == str(len(text))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused_with_the_size(asset: Asset, asked: str) -> None:
    response = got(asset, range=asked)
    assert response.status == 416
    assert response.headers["content-range"] == "bytes */10"
    assert response.headers["content-length"] == "0"
    assert list(response.body) == []


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=1", ""])
def test_several_ranges_or_none_are_ignored(asset: Asset, asked: str) -> None:
    response = got(asset, range=asked)
    assert (response.status, b"".join(response.body)) == (200, TEXT)


def test_a_range_counts_for_get_alone(asset: Asset) -> None:
    response = got(asset, "HEAD", range="bytes=0-1")
    assert (response.status, response.headers["content-length"]) == (200, "10")


def test_if_range_must_match(asset: Asset) -> None:
    same = formatdate(1_000, usegmt=True)
    for condition, status in [(asset.plain.etag, 206), (same, 206), ('"other"', 200), ("W/" + asset.plain.etag, 200)]:
        assert got(asset, range="bytes=0-1", if_range=condition).status == status


def test_a_range_is_of_the_file_itself(asset: Asset, tmp_path: Path) -> None:
    compressed = tmp_path / "file.txt.gz"
    compressed.write_bytes(b"zip")
    both = asset._replace(compressed=(Representation(str(compressed), 3, 2_000 * SECOND, "gzip"),))
    response = got(both, range="bytes=0-1", accept_encoding="gzip")
    assert (response.status, b"".join(response.body)) == (206, b"01")
    assert "content-encoding" not in response.headers


def test_long_files_come_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "long.bin"
    path.write_bytes(b"x" * (2 * CHUNK_BYTES + 1))
    long = Asset(Representation(str(path), 2 * CHUNK_BYTES + 1, 0), (), "application/octet-stream")
    assert [len(chunk) for chunk in got(long).body] == [CHUNK_BYTES, CHUNK_BYTES, 1]


def test_a_file_that_became_shorter_never_looks_complete(asset: Asset) -> None:
    response = got(asset)
    Path(asset.plain.path).write_bytes(b"01")
    with pytest.raises(OSError, match="became shorter"):
        list(response.body)


def test_an_empty_file_is_served(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    response = got(Asset(Representation(str(path), 0, 0), (), "text/plain"))
    assert (response.status, list(response.body), response.headers["content-length"]) == (200, [], "0")
