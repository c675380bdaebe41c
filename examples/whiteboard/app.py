"""A whiteboard for any number of people: one object per room holds its strokes and the sockets of those who draw.

    roost dev examples/whiteboard/app.py

The page is in `static/`, served by the gateway. What it may say stands in `messages.py`; what does not fit is answered
with what was wrong, and changes nothing.
"""

# What the page may rely on:
#
#  (1) A change (`add`, `remove`, `clear`) is stored before anybody, its author included, hears of it.
#  (2) Every change that took place has the next revision. A page that misses one sees the gap, and asks for the whole.
#  (3) A page numbers its changes. One that comes again, because the answer was lost, is acknowledged and not repeated.
#  (4) Cursors and unfinished strokes pass through and are never stored.
#  (5) A board comes in pages that the page asks for one by one, so that no board is too large for a slow line. Changes
#      made between two pages are told as always; applied to what has come so far, they give the board as it is.
#  (6) What is told to everybody also reaches a page that has not been welcomed yet; it may ignore that, since the
#      welcome and the pages after it hold it too.
#  (7) Who is here is known from the sockets alone: nothing about it is in memory or in storage.

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from messages import (
    Add,
    BadMessage,
    Change,
    Cursor,
    Hello,
    Profile,
    Remove,
    Stroke,
    Sync,
    clean_name,
    client_tags,
    read_message,
    read_number,
    read_room,
)
from msgspec import Struct

from roost import (
    DurableObject,
    DurableObjectState,
    Request,
    Response,
    WebSocket,
    WebSocketPair,
    WebSocketRequestResponsePair,
)

STROKES_MAX = 20_000  # of one board
CLIENTS_MAX = 2_000  # whose last number a board remembers
PAGE_STROKES = 200  # sent or read at once
PAGE_NUMBERS = 60_000  # about 400 KB of JSON
BATCH = 100  # keys of one delete: it takes 128
OPEN = 1  # a socket's `ready_state`


class Summary(Struct):
    """What is known of a board without reading its strokes."""

    board: str  # random, so that a revision of another board is never taken for one of this
    revision: int = 0
    strokes: int = 0
    clients: int = 0


class BoardFull(Exception):  # noqa: N818 - it is a verdict, and is answered
    """A change that would bring the board above its bound; its text goes back to the page."""


def first_page(strokes: list[dict[str, Any]], numbers_max: int = PAGE_NUMBERS) -> list[dict[str, Any]]:
    """As many of the strokes as make a message of moderate size, one at least."""
    numbers = 0
    for count, stroke in enumerate(strokes):
        numbers += len(stroke["points"])
        if count and numbers > numbers_max:
            return strokes[:count]
    return strokes


def choose_forgotten(clients: dict[str, dict[str, int]], keep: int) -> list[str]:
    """The keys of the clients that changed the board longest ago, until `keep` are left."""
    by_age = sorted(clients, key=lambda key: clients[key]["revision"])
    return by_age[: max(0, len(by_age) - keep)]


class WhiteboardRoom(DurableObject):
    """One board. It sleeps whenever nothing happens, with everybody's socket open."""

    def __init__(self, ctx: DurableObjectState, env: Any) -> None:
        super().__init__(ctx, env)
        self.summary = Summary(board="")
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair("ping", "pong"))
        ctx.block_concurrency_while(self._load)

    async def _load(self) -> None:
        stored = await self.ctx.storage.get("summary")
        self.summary = msgspec.convert(stored, Summary) if stored else Summary(board=secrets.token_hex(8))

    async def fetch(self, request: Request) -> Response:
        """A socket for whoever asks for one, and the board as JSON for everybody else."""
        if not request.is_upgrade:
            return Response.json(await self._as_json(request.query.get("after", "")))
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server, client_tags(request.query.get("client", "")))
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws: WebSocket, message: str | bytes) -> None:
        if ws.ready_state != OPEN:
            return  # another socket of the same page took its place; the page says it again there
        try:
            read = read_message(message)
            if isinstance(read, Change):
                await self._change(ws, read)
            else:
                await self._listen(ws, read)
        except (BadMessage, BoardFull) as error:
            self._refuse(ws, message, str(error))

    async def web_socket_close(self, ws: WebSocket, code: int, reason: str, was_clean: bool) -> None:
        self._leave(ws)

    async def web_socket_error(self, ws: WebSocket, error: Exception) -> None:
        self._leave(ws)

    # Who is here

    async def _listen(self, ws: WebSocket, message: Hello | Profile | Sync | Cursor) -> None:
        if isinstance(message, Cursor):
            self._point(ws, message)
        elif isinstance(message, Hello):
            self._enter(ws, message)
            await self._welcome(
                ws, current=(message.board, message.revision) == (self.summary.board, self.summary.revision)
            )
        elif isinstance(message, Profile):
            self._introduce(ws, self._person(ws)["id"], message)
        else:
            self._person(ws)
            ws.send_json({"type": "strokes"} | await self._page(message.after))

    def _enter(self, ws: WebSocket, hello: Hello) -> None:
        """A page that comes back before its lost socket was missed takes over that socket's place."""
        before = [s for tag in self.ctx.get_tags(ws) for s in self.ctx.get_web_sockets(tag) if s is not ws]
        known = next((person["id"] for person in map(who, [ws, *before]) if person), None)
        for other in before:
            other.serialize_attachment(None)
            other.close(4001, "this page has connected again")
        self._introduce(ws, known or secrets.token_hex(4), hello)

    def _introduce(self, ws: WebSocket, person_id: str, profile: Hello | Profile) -> None:
        person = {"id": person_id, "name": clean_name(profile.name), "colour": profile.colour}
        ws.serialize_attachment(person)
        self.ctx.broadcast(to_json({"type": "person", "person": person}), exclude=ws)

    def _leave(self, ws: WebSocket) -> None:
        person = who(ws)
        if person:
            self.ctx.broadcast(to_json({"type": "gone", "id": person["id"]}), exclude=ws)

    def _person(self, ws: WebSocket) -> dict[str, str]:
        person = who(ws)
        if not person:
            raise BadMessage("expected `hello` first")
        return person

    def _people(self) -> list[dict[str, str]]:
        return [person for person in map(who, self.ctx.get_web_sockets()) if person]

    def _point(self, ws: WebSocket, cursor: Cursor) -> None:
        moved: dict[str, Any] = {"type": "cursor", "id": self._person(ws)["id"]}
        moved |= {"away": True} if cursor.away else {"x": cursor.x, "y": cursor.y}
        if cursor.piece:
            moved["piece"] = cursor.piece
        if cursor.dropped:
            moved["dropped"] = cursor.dropped
        self.ctx.broadcast(to_json(moved), exclude=ws)

    # The board

    async def _change(self, ws: WebSocket, change: Change) -> None:
        """Make the change, once; then tell its author, and everybody else what they must do to have it too."""
        self._person(ws)
        record = await self.ctx.storage.get(f"client:{change.client}")
        done = {"type": "done", "client": change.client, "seq": change.seq, "revision": self.summary.revision}
        if record and change.seq <= record["seq"]:
            ws.send_json(done | {"again": True})
            return
        news = await self._apply(change)
        self.summary.revision += 1
        self.summary.clients += record is None
        await self._store({f"client:{change.client}": {"seq": change.seq, "revision": self.summary.revision}})
        ws.send_json(done | {"revision": self.summary.revision})
        self.ctx.broadcast(to_json(news | {"revision": self.summary.revision}), exclude=ws)

    async def _apply(self, change: Change) -> dict[str, Any]:
        if isinstance(change, Add):
            return await self._add(change.strokes)
        if isinstance(change, Remove):
            keys = list({f"stroke:{key}" for key in change.ids})
            self.summary.strokes -= await self.ctx.storage.delete(keys)
            return {"type": "removed", "ids": change.ids}
        await self._remove_all()
        return {"type": "cleared"}

    async def _add(self, strokes: list[Stroke]) -> dict[str, Any]:
        keyed = {f"stroke:{stroke.id}": stroke for stroke in strokes}
        there = await self.ctx.storage.get(list(keyed))
        new = {key: stroke for key, stroke in keyed.items() if key not in there}
        if self.summary.strokes + len(new) > STROKES_MAX:
            raise BoardFull(f"This board is full: it holds {STROKES_MAX:,} strokes. Erase some, or clear it.")
        for stroke in new.values():
            if not 0 < stroke.order <= self.summary.revision:
                stroke.order = self.summary.revision + 1
        values = {key: msgspec.to_builtins(stroke) for key, stroke in new.items()}
        if values:
            await self.ctx.storage.put(values)
        self.summary.strokes += len(new)
        return {"type": "added", "strokes": list(values.values())}

    async def _remove_all(self) -> None:
        while keys := list(await self.ctx.storage.list(prefix="stroke:", limit=BATCH)):
            await self.ctx.storage.delete(keys)
        self.summary.strokes = 0

    async def _store(self, entries: dict[str, Any]) -> None:
        """The entries and what is known of the board, in the same commit as the change itself."""
        if self.summary.clients > CLIENTS_MAX:
            forgotten = choose_forgotten(await self.ctx.storage.list(prefix="client:"), keep=CLIENTS_MAX // 2)
            for start in range(0, len(forgotten), BATCH):
                await self.ctx.storage.delete(forgotten[start : start + BATCH])
            self.summary.clients -= len(forgotten)
        await self.ctx.storage.put(entries | {"summary": msgspec.to_builtins(self.summary)})

    async def _page(self, after: str) -> dict[str, Any]:
        """Some strokes by their ids, and the id to go on after: None once all have come."""
        start = f"stroke:{after}" if after else None
        listed = list((await self.ctx.storage.list(prefix="stroke:", start_after=start, limit=PAGE_STROKES)).values())
        page = first_page(listed)
        whole = len(page) == len(listed) < PAGE_STROKES
        return {"strokes": page, "after": None if whole else page[-1]["id"]}

    async def _welcome(self, ws: WebSocket, current: bool) -> None:
        """Who is here, and how the board stands; its first strokes too, unless the page has them already."""
        people = {"you": self._person(ws)["id"], "people": self._people()}
        stands = {"board": self.summary.board, "revision": self.summary.revision, "current": current}
        ws.send_json({"type": "welcome"} | people | stands)
        if not current:
            ws.send_json({"type": "strokes"} | await self._page(after=""))

    async def _as_json(self, after: str) -> dict[str, Any]:
        return {"revision": self.summary.revision, "people": self._people()} | await self._page(after)

    def _refuse(self, ws: WebSocket, message: str | bytes, why: str) -> None:
        answer: dict[str, Any] = {"type": "error", "message": why}
        number = read_number(message)
        if number:
            answer |= {"type": "refused", "client": number.client, "seq": number.seq}
        ws.send_json(answer)


def who(ws: WebSocket) -> dict[str, str] | None:
    """The person whose page is at the other end, once it has said hello."""
    person: dict[str, str] | None = ws.deserialize_attachment()
    return person


def to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def fetch(request: Request, env: Any) -> Response:
    """`/ws?room=` is the socket of a room, `/api/board?room=` its board as JSON; the page itself is a static file."""
    path = request.path
    if path not in {"/ws", "/api/board"}:
        return Response.json({"error": f"there is nothing at {path}"}, status=404)
    try:
        name = read_room(request.query.get("room", "default"))
    except BadMessage as error:
        return Response.json({"error": str(error)}, status=400)
    if request.is_upgrade != (path == "/ws"):
        expected = "a WebSocket handshake" if path == "/ws" else "a plain GET"
        return Response.json({"error": f"{path} expects {expected}"}, status=426 if path == "/ws" else 400)
    response: Response = await env.WHITEBOARD_ROOM.get_by_name(name).fetch(request)
    return response
