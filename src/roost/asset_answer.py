"""What answers a GET or HEAD of a file: conditional requests, ranges and pre-compressed siblings (RFC 9110, 13 and 14).

(1) An ETag names the exact bytes sent: it comes from the file's time of change and size, and from the encoding.
(2) `If-None-Match` decides where it is given; `If-Modified-Since` only without it.
(3) One range is served with 206, or refused with 416. Several ranges, or what is no range, are as if they were not
    there, as is a range whose `If-Range` does not match. A range is of the file itself, never of a compressed sibling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple

from roost.headers import Headers

CHUNK_BYTES = 64 * 1024
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.IGNORECASE)
_QUALITY = re.compile(r"\s*;\s*q=([01](?:\.\d{0,3})?)\s*", re.IGNORECASE)


class Representation(NamedTuple):
    """The bytes of a file, or of a compressed sibling of it."""

    path: str
    size: int
    mtime_ns: int
    encoding: str = ""
    """The Content-Encoding; empty for the file itself."""

    @property
    def etag(self) -> str:
        return f'"{self.mtime_ns:x}-{self.size:x}{self.encoding and "-"}{self.encoding}"'


class Asset(NamedTuple):
    """A file that is there to be served."""

    plain: Representation
    compressed: tuple[Representation, ...]
    """Siblings, the best first."""
    content_type: str

    @property
    def modified(self) -> datetime:
        return datetime.fromtimestamp(self.plain.mtime_ns // 1_000_000_000, UTC)


class Answer(NamedTuple):
    """Status, headers with their Content-Length, and the chunks of the body, read from disk as they are asked for."""

    status: int
    headers: Headers
    body: Iterator[bytes]


def answer(asset: Asset, method: str, asked: Headers, cache_control: str, status: int = 200) -> Answer:
    """The answer to a GET or HEAD with those headers; conditions and ranges count only where `status` is 200."""
    ranged = asked.get("range") if status == 200 and method == "GET" else None
    chosen = asset.plain if ranged else _choose(asset, asked.get("accept-encoding") or "")
    headers = _headers(asset, chosen, cache_control)
    if status == 200 and _not_modified(asset, chosen, asked):
        return Answer(304, headers, iter(()))
    _describe(headers, asset, chosen)
    if ranged and _range_holds(asset, asked.get("if-range")):
        span = _span(ranged, chosen.size)
        if span == (0, 0):
            headers.set("Content-Range", f"bytes */{chosen.size}")
            headers.delete("Content-Type")
            headers.set("Content-Length", "0")
            return Answer(416, headers, iter(()))
        if span is not None:
            headers.set("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{chosen.size}")
            headers.set("Content-Length", str(span[1] - span[0]))
            return Answer(206, headers, _chunks(chosen.path, *span))
    return Answer(status, headers, iter(()) if method == "HEAD" else _chunks(chosen.path, 0, chosen.size))


def _headers(asset: Asset, chosen: Representation, cache_control: str) -> Headers:
    """What a 304 says too."""
    lines = [
        ("ETag", chosen.etag),
        ("Last-Modified", format_datetime(asset.modified, usegmt=True)),
        ("Cache-Control", cache_control),
    ]
    return Headers.trusted([*lines, ("Vary", "Accept-Encoding")] if asset.compressed else lines)


def _describe(headers: Headers, asset: Asset, chosen: Representation) -> None:
    headers.append("Content-Type", asset.content_type)
    headers.append("X-Content-Type-Options", "nosniff")
    headers.append("Accept-Ranges", "bytes")
    headers.append("Content-Length", str(chosen.size))
    if chosen.encoding:
        headers.append("Content-Encoding", chosen.encoding)


def _choose(asset: Asset, accepted: str) -> Representation:
    if asset.compressed and accepted:
        qualities = _qualities(accepted)
        for sibling in asset.compressed:
            if qualities.get(sibling.encoding, qualities.get("*", 0.0)) > 0:
                return sibling
    return asset.plain


def _qualities(accepted: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, semicolon, _ = part.partition(";")
        quality = _QUALITY.fullmatch(part[len(coding) :]) if semicolon else None
        found[coding.strip()] = float(quality.group(1)) if quality else 0.0 if semicolon else 1.0
    return found


def _not_modified(asset: Asset, chosen: Representation, asked: Headers) -> bool:
    known = asked.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or chosen.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    since = _date(asked.get("if-modified-since"))
    return since is not None and asset.modified <= since


def _range_holds(asset: Asset, condition: str | None) -> bool:
    if condition is None or condition.strip() == asset.plain.etag:
        return True
    return _date(condition) == asset.modified


def _date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None  # a date that is none counts as not given
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _span(ranged: str, size: int) -> tuple[int, int] | None:
    """Begin and end (excluded) of the range; (0, 0) where the file has nothing of it, None for no single range."""
    match = _RANGE.fullmatch(ranged.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        begin, end = max(0, size - int(suffix)), size
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return None  # no range at all, says the RFC, so it is ignored
    return (begin, end) if begin < end else (0, 0)


def _chunks(path: str, begin: int, end: int) -> Iterator[bytes]:
    """The bytes from `begin` to `end`. Raises OSError when the file became shorter: that must not look complete."""
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        while begin < end:
            chunk = file.read(min(CHUNK_BYTES, end - begin))
            if not chunk:
                raise OSError(f"{path} became shorter while it was sent")
            begin += len(chunk)
            yield chunk
