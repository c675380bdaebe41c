"""What stands in for an app that does not import, while its author mends it: a page that says why."""

from __future__ import annotations

import html

from roost.host.app import App
from roost.node.raised import as_text
from roost.request import Request
from roost.response import Response
from roost.supervisor.messages import Raised

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="1">
<title>The app does not import</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 10vh auto; max-width: 60rem; padding: 0 1rem }}
pre {{ overflow-x: auto }}</style>
<h1>The app does not import</h1>
<pre>{traceback}</pre>
<p>roost waits for a file to be saved. This page then shows the app by itself.</p>
</html>
"""


def placeholder_app(raised: Raised) -> App:
    """An app without objects that answers everything with status 503 and what the real one raised."""
    traceback = as_text(raised)

    async def fetch(request: Request, env: object) -> Response:
        headers = {"retry-after": "1", "cache-control": "no-store"}
        if "text/html" in (request.headers.get("accept") or ""):
            page = PAGE.format(traceback=html.escape(traceback))
            return Response(page, status=503, headers={**headers, "content-type": "text/html; charset=utf-8"})
        return Response(f"The app does not import.\n\n{traceback}\n", status=503, headers=headers)

    return App(name="placeholder", classes={}, entrypoint=fetch)
