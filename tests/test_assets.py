from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from roost.asset_answer import Answer
from roost.assets import Assets
from roost.errors import ConfigurationError
from roost.headers import Headers
from roost.request import Request


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "static"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    for name, text in {
        "index.html": "<h1>front</h1>",
        "app.js": "let x",
        "page.html": "<p>page</p>",
        "404.html": "nothing here",
        "sub/index.html": "sub",
        "a b é.txt": "spaced",
        ".env": "secret",
        ".git/config": "secret",
        ".well-known/a.txt": "known",
    }.items():
        (root / name).write_text(text)
    (tmp_path / "outside.txt").write_text("outside")
    return root


def got(assets: Assets, path: str, method: str = "GET", **headers: str) -> Answer:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = assets.respond(method, path, Headers(lines))
    assert answer is not None
    return answer


def body(answer: Answer) -> bytes:
    return b"".join(answer.body)


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/", "<h1>front</h1>", "text/html; charset=utf-8"),
        ("/index.html", "<h1>front</h1>", "text/html; charset=utf-8"),
        ("/app.js", "let x", "text/javascript; charset=utf-8"),
        ("/sub/", "sub", "text/html; charset=utf-8"),
        ("/a%20b%20%C3%A9.txt", "spaced", "text/plain; charset=utf-8"),
        ("/.well-known/a.txt", "known", "text/plain; charset=utf-8"),
    ],
)
def test_files_are_served_with_their_type(root: Path, path: str, text: str, kind: str) -> None:
    answer = got(Assets(root), path)
    assert answer.status == 200
    assert body(answer).decode() == text
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-length"] == str(len(text))
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "index.html",
        "//index.html",
        "//",
        "/sub//index.html",
        "/sub//",
        "/../outside.txt",
        "/sub/../../outside.txt",
        "/sub/../index.html",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/sub%2findex.html",
        "/sub%5cindex.html",
        "/..\\outside.txt",
        "/./index.html",
        "/%2e/index.html",
        "/index.html%00",
        "/\x00",
        "/index.html/",
        "/%ff",
        "/.env",
        "/.git/config",
        "/%2eenv",
        "/sub/absent",
        "/" + "x" * 5_000,
    ],
)
def test_no_path_leads_out_of_the_directory_or_to_hidden_files(root: Path, path: str) -> None:
    assets = Assets(root)
    assert assets.find(path) is None
    assert assets.respond("GET", path, Headers()) is None


def test_a_link_out_of_the_directory_is_not_followed(root: Path) -> None:
    (root / "out.txt").symlink_to(root.parent / "outside.txt")
    (root / "out").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")
    (root / "in.txt").symlink_to(root / "app.js")
    assets = Assets(root)
    for path in ("/out.txt", "/out/outside.txt", "/loop"):
        assert assets.find(path) is None
    assert body(got(assets, "/in.txt")) == b"let x"


def test_a_sibling_directory_with_the_same_beginning_is_outside(root: Path) -> None:
    other = root.parent / "static-other"
    other.mkdir()
    (other / "x.txt").write_text("outside")
    (root / "x.txt").symlink_to(other / "x.txt")
    assert Assets(root).find("/x.txt") is None


def test_the_directory_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert body(got(Assets(root.parent / "link"), "/app.js")) == b"let x"


def test_what_is_no_regular_file_is_not_served(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert Assets(root).find("/pipe") is None


def test_a_directory_without_its_slash_is_redirected_with_its_query(root: Path) -> None:
    answer = Assets(root).respond("GET", "/sub", Headers(), "a=1")
    assert answer is not None
    assert (answer.status, answer.headers["location"]) == (308, "/sub/?a=1")


def test_the_entrypoint_is_asked_for_other_methods(root: Path) -> None:
    assert Assets(root, not_found="404.html").respond("POST", "/app.js", Headers()) is None


def test_not_found_answers_pages_alone(root: Path) -> None:
    assets = Assets(root, not_found="404.html")
    answer = got(assets, "/absent", accept="text/html,*/*")
    assert (answer.status, body(answer)) == (404, b"nothing here")
    assert assets.respond("GET", "/absent", Headers({"Accept": "application/json"})) is None
    fetched = Headers({"Accept": "text/html", "Sec-Fetch-Mode": "cors"})
    assert assets.respond("GET", "/absent", fetched) is None


def test_not_found_is_never_a_304_or_a_range(root: Path) -> None:
    assets = Assets(root, not_found="404.html")
    answer = got(assets, "/absent", accept="text/html", if_none_match="*", range="bytes=0-1")
    assert (answer.status, body(answer)) == (404, b"nothing here")


def test_a_single_page_application_answers_every_page_with_its_index(root: Path) -> None:
    answer = got(Assets(root, not_found="index.html"), "/rooms/5", sec_fetch_mode="navigate")
    assert (answer.status, body(answer)) == (200, b"<h1>front</h1>")


def test_an_edited_file_is_served_at_once(root: Path) -> None:
    assets = Assets(root)
    before = got(assets, "/app.js").headers["etag"]
    (root / "app.js").write_text("let y = 2")
    answer = got(assets, "/app.js")
    assert body(answer) == b"let y = 2"
    assert answer.headers["etag"] != before


def test_head_has_the_headers_and_no_body(root: Path) -> None:
    assets = Assets(root)
    head = got(assets, "/app.js", "HEAD")
    assert body(head) == b""
    assert head.headers == got(assets, "/app.js").headers


def compress(root: Path) -> None:
    (root / "app.js.gz").write_bytes(gzip.compress(b"let x"))
    (root / "app.js.br").write_bytes(b"as if brotli")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000, gzip;q=0", None),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=nonsense", None),
        ("xbr, not-gzip", None),
        ("", None),
        ("identity", None),
    ],
)
def test_a_compressed_sibling_is_sent_to_who_accepts_it(root: Path, accepted: str, encoding: str | None) -> None:
    compress(root)
    answer = got(Assets(root), "/app.js", accept_encoding=accepted)
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert len(body(answer)) == int(answer.headers["content-length"])


def test_each_encoding_has_an_etag_of_its_own(root: Path) -> None:
    compress(root)
    assets = Assets(root)
    etags = {got(assets, "/app.js", accept_encoding=coding).headers["etag"] for coding in ("br", "gzip", "identity")}
    assert len(etags) == 3


def test_a_sibling_older_than_its_file_is_not_sent(root: Path) -> None:
    compress(root)
    os.utime(root / "app.js.gz", (1, 1))
    os.utime(root / "app.js.br", (1, 1))
    assert "content-encoding" not in got(Assets(root), "/app.js", accept_encoding="br, gzip").headers


def test_a_compressed_file_asked_for_by_its_own_name_is_itself(root: Path) -> None:
    compress(root)
    answer = got(Assets(root), "/app.js.gz", accept_encoding="gzip")
    assert answer.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in answer.headers


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="absent is not a directory"):
        Assets(tmp_path / "absent")


def test_a_missing_not_found_file_is_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no file 500\.html"):
        Assets(root, not_found="500.html")


async def test_fetch_answers_as_a_binding(root: Path) -> None:
    assets = Assets(root)
    response = await assets.fetch("http://assets/app.js")
    assert (response.status, await response.text()) == (200, "let x")
    assert (await assets.fetch(Request("http://x/absent"))).status == 404
    refused = await assets.fetch(Request("http://x/app.js", method="POST"))
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    etag = response.headers["etag"]
    assert (await assets.fetch(Request("http://x/app.js", headers={"If-None-Match": etag}))).status == 304


async def test_fetch_answers_with_not_found_whoever_asks(root: Path) -> None:
    response = await Assets(root, not_found="404.html").fetch("http://assets/absent")
    assert (response.status, await response.text()) == (404, "nothing here")
