"""The whiteboard's room over real sockets: what each of several pages hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

import roost
from roost.node.serve import Server

from .clients import Page, get, page, stroke

A, B = "a" * 20, "b" * 20


@pytest.fixture
async def server(whiteboard_path: Path, tmp_path: Path) -> AsyncIterator[Server]:
    async with roost.serve(whiteboard_path, data=tmp_path / "data", port=0) as running:
        yield running


@pytest.fixture
def url(server: Server) -> str:
    return server.url


async def stored(url: str, room: str = "test") -> dict[str, Any]:
    answer = (await get(f"{url}/api/board?room={room}")).json()
    assert isinstance(answer, dict)
    return answer


async def meet(ada: Page, grace: Page) -> None:
    await ada.greet("Ada")
    await grace.greet("Grace")
    assert (await ada.hear("person"))["person"]["name"] == "Grace"


async def test_a_page_is_welcomed_with_an_empty_board(url: str) -> None:
    async with page(url) as ada:
        welcome = await ada.greet("  Ada\n")
        (person,) = welcome["people"]
        assert person == {"id": welcome["you"], "name": "Ada", "colour": "blue"}
        assert (welcome["revision"], welcome["page"]["strokes"], welcome["page"]["after"]) == (0, [], None)


async def test_a_stroke_is_acknowledged_to_its_author_and_told_to_the_others(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        seq = await ada.change("add", strokes=[stroke(1)])
        assert await ada.hear("done") == {"type": "done", "client": A, "seq": seq, "revision": 1}
        added = await grace.hear("added")
        assert (added["revision"], added["strokes"]) == (1, [stroke(1) | {"order": 1}])
        assert (await stored(url))["strokes"] == added["strokes"]


async def test_rooms_are_apart(url: str) -> None:
    async with page(url, room="one", client=A) as ada, page(url, room="two", client=B) as grace:
        await ada.greet()
        await grace.greet()
        await ada.change("add", strokes=[stroke(1)])
        await ada.hear("done")
        assert (await stored(url, "two"))["strokes"] == []
        assert len((await stored(url, "one"))["strokes"]) == 1


async def test_a_change_that_comes_again_is_acknowledged_and_not_repeated(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        await ada.change("add", strokes=[stroke(1)])
        await ada.hear("done")
        await grace.hear("added")
        await grace.change("remove", ids=[stroke(1)["id"]])
        await grace.hear("done")
        await ada.hear("removed")
        await ada.say(type="add", client=A, seq=1, strokes=[stroke(1)])
        again = await ada.hear("done")
        assert (again["seq"], again["again"]) == (1, True)
        assert await stored(url) | {"people": []} == {"revision": 2, "people": [], "strokes": [], "after": None}


async def test_a_stroke_that_is_there_already_stays_as_it_is(url: str) -> None:
    async with page(url) as ada:
        await ada.greet()
        await ada.change("add", strokes=[stroke(1)])
        await ada.change("add", strokes=[stroke(1, colour="red"), stroke(2)])
        await ada.hear("done")
        await ada.hear("done")
        strokes = (await stored(url))["strokes"]
        assert [(one["id"], one["colour"], one["order"]) for one in strokes] == [
            (stroke(1)["id"], "ink", 1),
            (stroke(2)["id"], "ink", 2),
        ]


async def test_a_stroke_that_was_taken_back_returns_to_its_place(url: str) -> None:
    async with page(url) as ada:
        await ada.greet()
        for number in (1, 2):
            await ada.change("add", strokes=[stroke(number)])
        await ada.change("remove", ids=[stroke(1)["id"]])
        await ada.change("add", strokes=[stroke(1, order=1), stroke(3, order=99)])
        for _ in range(4):
            await ada.hear("done")
        assert [one["order"] for one in (await stored(url))["strokes"]] == [1, 2, 4]


async def test_clearing_takes_everything(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        for start in (0, 100, 200):
            await ada.change("add", strokes=[stroke(start + number) for number in range(100)])
            await ada.hear("done")
            await grace.hear("added")
        await grace.change("clear")
        assert (await ada.hear("cleared"))["revision"] == 4
        assert (await stored(url))["strokes"] == []


async def test_cursors_and_unfinished_strokes_pass_through_and_are_not_stored(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        piece = stroke(1) | {"at": 0}
        await ada.say(type="cursor", x=1, y=2, piece=piece)
        await ada.say(type="cursor", x=1, y=2, dropped=piece["id"])
        await ada.say(type="cursor", away=True)
        seen = [await grace.hear("cursor") for _ in range(3)]
        assert [(one.get("x"), one.get("piece"), one.get("dropped"), one.get("away")) for one in seen] == [
            (1, piece, None, None),
            (1, None, piece["id"], None),
            (None, None, None, True),
        ]
        assert await stored(url) | {"people": []} == {"revision": 0, "people": [], "strokes": [], "after": None}


async def test_a_bad_message_is_answered_and_disturbs_nothing(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        for bad in ("{", "[]", '{"type": "dance"}', '{"type": "cursor", "x": "left", "y": 0}', b"\0\1"):
            await ada.socket.send(bad)
            assert (await ada.hear("error"))["message"]
        seq = await ada.change("add", strokes="none")
        refused = await ada.hear("refused")
        assert (refused["client"], refused["seq"]) == (A, seq)
        await ada.change("add", strokes=[stroke(1)])
        assert (await ada.hear("done"))["revision"] == 1
        assert (await grace.hear("added"))["revision"] == 1, "and nothing else was heard before it"


async def test_nothing_is_taken_from_a_page_that_did_not_say_hello(url: str) -> None:
    async with page(url) as ada:
        await ada.say(type="cursor", x=0, y=0)
        assert "hello" in (await ada.hear("error"))["message"]
        await ada.change("add", strokes=[stroke(1)])
        assert "hello" in (await ada.hear("refused"))["message"]
        assert (await stored(url))["people"] == []


async def test_a_full_board_says_so_and_keeps_what_it_has(url: str) -> None:
    async with page(url) as ada:
        await ada.greet()
        for start in range(0, 20_000, 100):
            await ada.change("add", strokes=[stroke(start + number, points=[0, 0, 0.5]) for number in range(100)])
            await ada.hear("done")
        await ada.change("add", strokes=[stroke(20_000)])
        assert "20,000 strokes" in (await ada.hear("refused"))["message"]
        await ada.change("remove", ids=[stroke(0)["id"]])
        await ada.change("add", strokes=[stroke(20_000)])
        assert [(await ada.hear("done"))["revision"] for _ in range(2)] == [201, 202]


async def test_a_large_board_comes_in_pages_each_stroke_once(url: str) -> None:
    async with page(url, client=A) as ada:
        await ada.greet()
        for start in range(0, 500, 100):
            await ada.change("add", strokes=[stroke(start + number) for number in range(100)])
            await ada.hear("done")
        async with page(url, client=B) as grace:
            first = (await grace.greet())["page"]
            ids = [one["id"] for one in first["strokes"]]
            after = first["after"]
            while after is not None:
                await grace.say(type="sync", after=after)
                following = await grace.hear("strokes")
                ids += [one["id"] for one in following["strokes"]]
                after = following["after"]
            assert ids == [stroke(number)["id"] for number in range(500)]
        assert (await get(f"{url}/api/board?room=test&after={ids[299]}")).json()["strokes"][0]["id"] == ids[300]


async def test_a_page_that_has_the_board_already_is_not_sent_it_again(url: str) -> None:
    async with page(url, client=A) as ada:
        await ada.greet()
        await ada.change("add", strokes=[stroke(1)])
        await ada.hear("done")
        known = await ada.greet()
        current = await ada.greet(board=known["board"], revision=known["revision"])
        assert current["current"] is True
        assert (await ada.greet(board="another", revision=known["revision"]))["current"] is False
        await ada.say(type="profile", name="Ada", colour="red")
        await ada.change("clear")
        assert (await ada.hear("done"))["revision"] == 2, "no strokes came in between"


async def test_who_is_here_changes_name_and_leaves(url: str) -> None:
    async with page(url, client=A) as ada:
        async with page(url, client=B) as grace:
            await meet(ada, grace)
            await grace.say(type="profile", name="Grace Hopper", colour="red")
            changed = (await ada.hear("person"))["person"]
            assert (changed["name"], changed["colour"]) == ("Grace Hopper", "red")
        assert (await ada.hear("gone"))["id"] == changed["id"]
        assert len((await stored(url))["people"]) == 1


async def test_a_page_that_connects_again_takes_the_place_of_its_lost_socket(url: str) -> None:
    async with page(url, client=A) as ada, page(url, client=B) as grace:
        await meet(ada, grace)
        before = {one["name"]: one["id"] for one in (await stored(url))["people"]}
        async with page(url, client=B) as again:
            assert (await again.greet("Grace"))["you"] == before["Grace"]
            with pytest.raises(ConnectionClosedError, match="4001"):
                await grace.socket.recv()
            assert (await ada.hear("person"))["person"]["id"] == before["Grace"]
            assert len((await stored(url))["people"]) == 2
        assert (await ada.hear("gone"))["id"] == before["Grace"]


@pytest.mark.parametrize("kill", [False, True], ids=["deploy", "crash"])
async def test_a_new_host_knows_who_is_here_and_what_is_on_the_board(server: Server, kill: bool) -> None:
    async with page(server.url, client=A) as ada, page(server.url, client=B) as grace:
        await meet(ada, grace)
        await ada.change("add", strokes=[stroke(1)])
        await ada.hear("done")
        await grace.hear("added")
        people = (await stored(server.url))["people"]
        await server.restart_host(kill=kill)
        await ada.say(type="cursor", x=1, y=2)
        assert (await grace.hear("cursor"))["id"] == next(one["id"] for one in people if one["name"] == "Ada")
        await grace.change("add", strokes=[stroke(2)])
        assert (await ada.hear("added"))["revision"] == 2
        assert await stored(server.url) == {
            "revision": 2,
            "people": people,
            "strokes": [stroke(1, order=1), stroke(2, order=2)],
            "after": None,
        }


async def test_a_ping_is_answered(url: str) -> None:
    async with page(url) as ada:
        await ada.socket.send("ping")
        assert await ada.socket.recv() == "pong"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nothing", 404, "/nothing"),
        ("/ws?room=x", 426, "handshake"),
        ("/api/board?room=" + "x" * 81, 400, "80 characters"),
        ("/api/board?room=%07", 400, "printable"),
    ],
)
async def test_a_wrong_address_is_told_what_was_expected(url: str, path: str, status: int, said: str) -> None:
    answer = await get(url + path)
    assert answer.status == status
    assert said in answer.json()["error"]


async def test_the_page_itself_is_served(url: str) -> None:
    for path, kind in (("/", "text/html"), ("/js/main.js", "text/javascript"), ("/css/base.css", "text/css")):
        answer = await get(url + path)
        assert (answer.status, answer.content_type) == (200, kind)
