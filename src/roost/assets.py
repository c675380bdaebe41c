"""Static files: the gateway serves them, and an app reaches them as `env.ASSETS.fetch(request)`.

(1) Only regular files below the directory are served. A path with `..`, an encoded slash, a backslash or a NUL has no
    file; a symbolic link is followed as long as it leads to somewhere below the directory.
(2) Hidden files (`.env`, `.git/…`) are not served, `.well-known` is.
(3) `x.br` and `x.gz` beside `x` are sent in its place to who accepts them, unless they are older than it.
(4) Files are looked at anew for each request; nothing is remembered, so an edited file is served at once.
"""

from __future__ import annotations

import mimetypes
import os
import stat
from urllib.parse import unquote_to_bytes

from roost.asset_answer import Answer, Asset, Representation, answer
from roost.body import Body
from roost.errors import ConfigurationError
from roost.headers import Headers
from roost.request import Request
from roost.response import Response

CACHE_CONTROL = "public, max-age=0, must-revalidate"
"""Kept by browsers, and asked about each time: an unchanged file costs a 304."""

_SIBLINGS = (("br", ".br"), ("gzip", ".gz"))

_BYTES = "application/octet-stream"
_ENCODED = {"gzip": "application/gzip"}

# Not the machine's own table: the same file has the same type everywhere.
_TYPES = mimetypes.MimeTypes(filenames=())
for _suffix, _type in {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".otf": "font/otf",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".md": "text/markdown",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}.items():
    _TYPES.add_type(_type, _suffix)


class Assets:
    """The files below a directory.

    `index` answers for a directory. `not_found` names the file that answers for pages that are not there: with status
    404, or with 200 when it is the index itself, which is what a single-page application wants.

    Raises ConfigurationError when the directory, or the file that `not_found` names, is not there.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        index: str = "index.html",
        not_found: str | None = None,
        cache_control: str = CACHE_CONTROL,
    ) -> None:
        self._root = os.path.realpath(directory)
        self._index = index
        self._not_found = not_found
        self._cache_control = cache_control
        if not os.path.isdir(self._root):
            raise ConfigurationError(f"assets.directory: {os.fspath(directory)} is not a directory")
        if not_found is not None and self.find("/" + not_found) is None:
            raise ConfigurationError(f"assets.not_found: no file {not_found} in {os.fspath(directory)}")

    def find(self, path: str) -> Asset | None:
        """The file for the path of a URL, percent-encoded as it came; for a directory's, with its slash, the index."""
        segments = _segments(path)
        if segments is None:
            return None
        if not segments or path.endswith("/"):
            segments = [*segments, self._index]
        return self._asset(os.path.join(self._root, *segments))

    def respond(self, method: str, path: str, headers: Headers, query_string: str = "") -> Answer | None:
        """The answer of a gateway, or None where the entrypoint is to be asked.

        That is so for another method than GET and HEAD, and for what is not there unless `not_found` is set and a
        browser asks for a page.
        """
        if method not in ("GET", "HEAD"):
            return None
        found = self._there(method, path, headers, query_string)
        return found or (self._not_there(method, headers) if _wants_page(headers) else None)

    async def fetch(self, resource: Request | str) -> Response:
        """The answer to a request or an absolute URL; 404 where there is no such file, 405 for another method."""
        request = resource if isinstance(resource, Request) else Request(resource)
        asked = request.headers
        if request.method not in ("GET", "HEAD"):
            return Response("Static files are read with GET or HEAD.\n", status=405, headers={"Allow": "GET, HEAD"})
        found = self._there(request.method, request.path, asked, request.query_string)
        found = found or self._not_there(request.method, asked)
        if found is None:
            return Response("There is no such file.\n", status=404)
        return Response.received(found.status, found.headers, Body(found.body))

    def _there(self, method: str, path: str, headers: Headers, query_string: str) -> Answer | None:
        asset = self.find(path)
        if asset is not None:
            return answer(asset, method, headers, self._cache_control)
        if path.startswith("/") and not path.endswith("/") and self.find(path + "/") is not None:
            # Relative links of the index only work below the directory's own path.
            location = f"{path}/{query_string and '?'}{query_string}"
            return Answer(308, Headers([("Location", location), ("Content-Length", "0")]), iter(()))
        return None

    def _not_there(self, method: str, headers: Headers) -> Answer | None:
        asset = self.find("/" + self._not_found) if self._not_found is not None else None
        if asset is None:
            return None
        return answer(asset, method, headers, self._cache_control, 200 if self._not_found == self._index else 404)

    def _asset(self, path: str) -> Asset | None:
        plain = self._representation(path)
        if plain is None:
            return None
        siblings = (self._representation(path + suffix, encoding) for encoding, suffix in _SIBLINGS)
        compressed = tuple(s for s in siblings if s is not None and s.mtime_ns >= plain.mtime_ns)
        return Asset(plain, compressed, _content_type(path))

    def _representation(self, path: str, encoding: str = "") -> Representation | None:
        try:
            real = os.path.realpath(path, strict=True)
            status = os.stat(real)
        except (OSError, ValueError):
            return None  # not there, not ours to read, a loop of links, a name that no file can have
        if not stat.S_ISREG(status.st_mode) or not real.startswith(self._root.rstrip("/") + "/"):
            return None
        return Representation(real, status.st_size, status.st_mtime_ns, encoding)


def _segments(path: str) -> list[str] | None:
    """The decoded parts of the path; None where no file can be meant."""
    parts = path.split("/")
    if parts[0] or len(parts) < 2:
        return None
    segments = []
    for raw in parts[1:-1] if parts[-1] == "" else parts[1:]:
        try:
            segment = unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            return None
        hidden = segment.startswith(".") and segment != ".well-known"
        if not segment or hidden or any(wrong in segment for wrong in "/\\\0"):
            return None
        segments.append(segment)
    return segments


def _wants_page(headers: Headers) -> bool:
    """Whether a browser goes to a page, rather than a script fetching something."""
    mode = headers.get("sec-fetch-mode")
    return mode == "navigate" if mode is not None else "text/html" in (headers.get("accept") or "")


def _content_type(path: str) -> str:
    guessed, encoding = _TYPES.guess_type(path, strict=False)
    kind = _ENCODED.get(encoding, _BYTES) if encoding else guessed or _BYTES
    textual = kind.startswith("text/") or kind in ("application/json", "application/manifest+json", "image/svg+xml")
    return f"{kind}; charset=utf-8" if textual else kind
