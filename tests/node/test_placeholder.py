from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from email.message import Message

from roost.node.placeholder import placeholder_app
from roost.node.serve import serve
from roost.supervisor.messages import Frame, Raised

RAISED = Raised("NameError", "name '<b>' is not defined", [Frame("/x/app.py", 3, "<module>")])


def ask(url: str, accept: str) -> tuple[int, Message, str]:
    request = urllib.request.Request(url, headers={"accept": accept})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()
    raise AssertionError("it answered as if all were well")


async def test_every_request_is_answered_with_503_and_what_the_app_raised() -> None:
    async with serve(placeholder_app(RAISED)) as server:
        status, headers, text = await asyncio.to_thread(ask, server.url, "*/*")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert 'File "/x/app.py", line 3' in text
        assert "NameError: name '<b>' is not defined" in text
        status, headers, page = await asyncio.to_thread(ask, server.url, "text/html")
        assert status == 503
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "name &#x27;&lt;b&gt;&#x27; is not defined" in page
        assert 'http-equiv="refresh"' in page
        assert headers["Cache-Control"] == "no-store"
