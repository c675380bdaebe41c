"""The whiteboard as people meet it: two browser windows, a real server, and its processes killed in between.

These need Chromium. Where there is none they fail and say so; `ROOST_NO_BROWSER=1` leaves them out, with a notice.
Pictures of what was seen are kept in `test-artefacts/`.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "test-artefacts"
APP = ROOT / "examples" / "whiteboard" / "app.py"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW: Any = {"width": 1280, "height": 800}
PHONE: Any = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
INK = "r < 90 && g < 90 && b < 90 && a > 200"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


class Server:
    """`roost run` of the whiteboard in processes of its own, on a free port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "roost", "run", str(APP), "--host", "127.0.0.1", "--port", port]
        with (self.directory / "errors.txt").open("a") as errors:
            self._process = subprocess.Popen(
                [*command, "--data", str(self.directory / "data")], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.url = self._read_address()

    def stop(self) -> int:
        """End it as an operator does; the status with which it ended."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(30)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    async def kill_host(self) -> int:
        """End the process that runs the objects, with no warning; its number."""
        pid = await self.host_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    async def host_pid(self) -> int:
        """The process that runs the objects, once it is there: it may be on its way back."""
        assert self._process is not None
        async with asyncio.timeout(30):
            while True:
                for pid in children_of(self._process.pid):
                    if title_of(pid).startswith("roost: host"):
                        return pid
                await asyncio.sleep(0.02)

    def _read_address(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.search(r"http://[\w.:]+", line)
            if found:
                return found[0]
        raise AssertionError(f"roost run ended before it was ready: {(self.directory / 'errors.txt').read_text()}")


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has just ended
        return ""


@pytest.fixture(scope="module")
def chromium() -> str:
    """Where Chromium is; without it nothing here can be shown, and that is a failure."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail(
            "the browser tests did NOT run: there is no `chromium` (Debian: apt-get install chromium). "
            "Set ROOST_NO_BROWSER=1 to leave them out.",
            pytrace=False,
        )
    ARTEFACTS.mkdir(exist_ok=True)
    return found


@pytest.fixture(scope="module")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("whiteboard"))
    running.start()
    yield running
    assert running.stop() == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield running
        await running.close()


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A board of its own for each test."""
    return str(request.node.name)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def windows_closed_afterwards(browser: Browser) -> AsyncIterator[None]:
    yield
    for context in browser.contexts:
        await context.close()


async def open_board(context: BrowserContext, server: Server, room: str, name: str = "Ada") -> Page:
    await context.add_init_script(f"localStorage['whiteboard/name'] ??= {name!r}")
    page = await context.new_page()
    await page.goto(f"{server.url}/?room={room}")
    await ready(page)
    return page


async def two_windows(browser: Browser, server: Server, room: str) -> tuple[Page, Page]:
    light = await browser.new_context(viewport=WINDOW, color_scheme="light")
    dark = await browser.new_context(viewport=WINDOW, color_scheme="dark")
    return await open_board(light, server, room, "Ada"), await open_board(dark, server, room, "Grace")


async def ready(page: Page) -> None:
    """It shows the whole board, and the room has every change made here."""
    await page.wait_for_function("window.whiteboard?.session.status === 'ready' && whiteboard.session.waiting === 0")


async def draw(page: Page, points: list[tuple[float, float]]) -> None:
    await page.mouse.move(*points[0])
    await page.mouse.down()
    for point in points[1:]:
        await page.mouse.move(*point)
    await page.mouse.up()


async def shows(page: Page, strokes: int) -> None:
    await page.wait_for_function("count => window.whiteboard?.board.size === count", arg=strokes)


async def board(page: Page) -> Any:
    """Everything on the board, in its order, as the page knows it."""
    return await page.evaluate("whiteboard.board.strokes().map((stroke) => ({ ...stroke }))")


async def stored(page: Page, room: str) -> Any:
    """The board as the server tells it to anybody."""
    return await page.evaluate("room => fetch(`/api/board?room=${room}`).then((answer) => answer.json())", room)


async def pixels(page: Page, box: tuple[int, int, int, int], canvas: str, condition: str) -> int:
    """How many pixels of a canvas in this box have a colour for which the condition in r, g, b and a holds."""
    return int(
        await page.evaluate(
            f"""async ([x, y, width, height]) => {{
              await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
              const {{ data }} = document.querySelector({canvas!r}).getContext("2d").getImageData(x, y, width, height);
              let count = 0;
              for (let i = 0; i < data.length; i += 4) {{
                const [r, g, b, a] = data.slice(i, i + 4);
                if ({condition}) count += 1;
              }}
              return count;
            }}""",
            list(box),
        )
    )


def wave(y: float, x: float = 300) -> list[tuple[float, float]]:
    return [(x + i * 15, y + 40 * math.sin(i / 2)) for i in range(21)]


async def test_what_one_draws_the_other_sees(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    for index, key in enumerate("1345678"):
        await ada.keyboard.press(key)
        await draw(ada, wave(150 + index * 70))
    await shows(grace, 7)
    await ready(ada)
    assert await board(grace) == await board(ada)
    ink = await pixels(ada, (290, 100, 320, 100), "#strokes", INK)
    white = await pixels(grace, (290, 100, 320, 100), "#strokes", "r > 200 && g > 200 && b > 200 && a > 200")
    assert ink > 500, "the first wave is dark where the page is light"
    assert white > 500, "and light where the page is dark"
    await ada.screenshot(path=ARTEFACTS / "desktop-light.png")
    await grace.screenshot(path=ARTEFACTS / "desktop-dark.png")


async def test_a_stroke_is_seen_while_it_is_drawn_and_stored_when_it_is_finished(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    await ada.mouse.move(300, 300)
    await ada.mouse.down()
    await ada.mouse.move(600, 300, steps=20)
    await grace.wait_for_function("whiteboard.live.strokes()[0]?.points.length > 10")
    assert await pixels(grace, (290, 280, 320, 40), "#live", "a > 100") > 300
    assert (await stored(grace, room))["strokes"] == []
    await ada.mouse.up()
    await shows(grace, 1)
    assert await grace.evaluate("whiteboard.live.strokes().length") == 0
    assert len((await stored(grace, room))["strokes"]) == 1


async def test_a_cursor_with_its_name_glides_after_the_hand_and_is_not_stored(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    await ada.mouse.move(400, 300)
    await ada.mouse.move(700, 500, steps=30)
    await grace.wait_for_function(
        "Math.hypot(whiteboard.cursors.places()[0]?.x - 60, whiteboard.cursors.places()[0]?.y - 100) < 2"
    )
    assert await grace.inner_text(".cursor span") == "Ada"
    board_before = await stored(grace, room)
    assert (board_before["revision"], board_before["strokes"]) == (0, [])
    await grace.screenshot(path=ARTEFACTS / "cursor.png")


async def test_who_is_here_is_listed_and_may_change_name(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    await grace.wait_for_function("whiteboard.people.list().map((person) => person.name).join() === 'Ada'")
    await ada.click("#people-button")
    await ada.fill("#profile-name", "Ada Lovelace")
    await ada.press("#profile-name", "Enter")
    await grace.wait_for_function("whiteboard.people.list().map((person) => person.name).join() === 'Ada Lovelace'")
    await ada.screenshot(path=ARTEFACTS / "people.png")
    await ada.reload()
    await ready(ada)
    await grace.wait_for_function("whiteboard.people.list().map((person) => person.name).join() === 'Ada Lovelace'")
    await ada.context.close()
    await grace.wait_for_function("whiteboard.people.list().length === 0")


async def test_undo_takes_back_only_what_was_done_here(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    await draw(ada, wave(200))
    await shows(grace, 1)
    await draw(grace, wave(300))
    await shows(ada, 2)
    hers = (await board(ada))[1]["id"]
    await ada.keyboard.press("Control+z")
    await shows(grace, 1)
    assert [stroke["id"] for stroke in await board(grace)] == [hers]
    assert await ada.is_disabled("#undo")
    await ada.keyboard.press("Control+Shift+Z")
    await shows(grace, 2)
    await ready(ada)
    assert await board(grace) == await board(ada)
    assert (await board(ada))[1]["id"] == hers, "and it lies where it lay, below"


async def test_what_the_eraser_touches_goes_and_comes_back_with_undo(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    for y in (200, 300, 400):
        await draw(ada, wave(y))
    await shows(grace, 3)
    await grace.keyboard.press("e")
    await draw(grace, [(450, 150), (450, 320)])
    await shows(ada, 1)
    await grace.keyboard.press("Control+z")
    await shows(ada, 3)
    await ready(grace)
    assert await board(grace) == await board(ada)


async def test_the_board_is_cleared_only_when_confirmed_and_that_can_be_undone(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    await draw(ada, wave(200))
    await draw(ada, wave(300))
    await shows(grace, 2)
    await grace.click("#menu-button")
    await grace.click("#clear")
    await grace.screenshot(path=ARTEFACTS / "clear.png")
    await grace.click("#clear-dialog button[value=keep]")
    assert len((await stored(grace, room))["strokes"]) == 2
    await grace.click("#menu-button")
    await grace.click("#clear")
    await grace.click("#clear-dialog button[value=clear]")
    await shows(ada, 0)
    await grace.keyboard.press("Control+z")
    await shows(ada, 2)


async def test_drawing_goes_on_when_the_host_is_killed(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    await draw(ada, wave(200))
    await shows(grace, 1)
    killed = await server.kill_host()
    await draw(ada, wave(300))
    await draw(grace, wave(400))
    await shows(ada, 3)
    await shows(grace, 3)
    await ready(ada)
    await ready(grace)
    assert await server.host_pid() != killed
    assert await board(grace) == await board(ada)
    before = await board(ada)
    await ada.reload()
    await ready(ada)
    assert await board(ada) == before
    assert len((await stored(ada, room))["strokes"]) == 3
    await ada.screenshot(path=ARTEFACTS / "after-the-host-was-killed.png")


async def test_a_host_killed_in_the_middle_of_drawing_loses_and_doubles_nothing(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    for index in range(12):
        if index in (3, 8):
            await server.kill_host()
        await draw([ada, grace][index % 2], [(200 + index * 60, 300), (230 + index * 60, 500)])
    for page in (ada, grace):
        await shows(page, 12)
        await ready(page)
    assert await board(grace) == await board(ada)
    strokes = (await stored(ada, room))["strokes"]
    assert len({stroke["id"] for stroke in strokes}) == len(strokes) == 12


async def test_the_board_is_there_after_everything_was_stopped(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    await draw(ada, wave(200))
    await shows(grace, 1)
    await ready(ada)
    assert server.stop() == 0
    await draw(grace, wave(300))
    await grace.wait_for_function("whiteboard.session.status === 'offline'")
    await grace.wait_for_function("document.querySelector('#status').innerText.includes('1 to send')")
    await grace.screenshot(path=ARTEFACTS / "offline.png")
    server.start()
    for page in (ada, grace):
        await ready(page)
        await shows(page, 2)
    assert await board(grace) == await board(ada)


async def test_what_was_drawn_offline_is_sent_once_even_after_a_reload(
    browser: Browser, server: Server, room: str
) -> None:
    ada, grace = await two_windows(browser, server, room)
    await ada.context.set_offline(True)
    await ada.wait_for_function("whiteboard.session.status === 'offline'")
    await draw(ada, wave(200))
    await draw(ada, wave(300))
    await shows(ada, 2)
    await ada.context.set_offline(False)
    await ada.reload()
    await ready(ada)
    await shows(ada, 2)
    await shows(grace, 2)
    await draw(ada, wave(400))
    await shows(grace, 3)
    await ready(ada)
    assert await board(grace) == await board(ada)
    assert (await stored(ada, room))["revision"] == 3


async def test_a_finger_draws_and_two_fingers_move_the_view(browser: Browser, server: Server, room: str) -> None:
    phone = await open_board(await browser.new_context(**PHONE), server, room)
    touch = await phone.context.new_cdp_session(phone)

    async def put(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    await put("touchStart", (60, 300))
    for step in range(1, 20):
        await put("touchMove", (60 + step * 12, 300 + step * 6))
    await put("touchEnd")
    await shows(phone, 1)
    await ready(phone)
    await put("touchStart", (150, 400))
    await put("touchStart", (150, 400), (240, 400))
    for step in range(1, 20):
        await put("touchMove", (150 - step * 3, 400), (240 + step * 3, 400))
    await put("touchEnd")
    assert await phone.evaluate("whiteboard.viewport.scale") > 1.5
    assert await phone.evaluate("whiteboard.board.size") == 1
    wide = await phone.evaluate("document.documentElement.scrollWidth")
    assert wide == 390, "nothing reaches beyond the screen"
    await phone.screenshot(path=ARTEFACTS / "phone.png")


async def test_the_view_pans_and_zooms_around_the_pointer(browser: Browser, server: Server, room: str) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW), server, room)
    await page.mouse.move(400, 300)
    under = await page.evaluate("whiteboard.viewport.toBoard(400, 300)")
    await page.keyboard.down("Control")
    await page.mouse.wheel(0, -120)
    await page.keyboard.up("Control")
    await page.wait_for_function("whiteboard.viewport.scale > 1.2")
    assert await page.evaluate("whiteboard.viewport.toBoard(400, 300)") == pytest.approx(under)
    await page.keyboard.press("0")
    under = await page.evaluate("whiteboard.viewport.toBoard(400, 300)")
    await page.keyboard.down("Space")
    await draw(page, [(400, 300), (500, 350)])
    await page.keyboard.up("Space")
    assert await page.evaluate("whiteboard.viewport.toBoard(500, 350)") == pytest.approx(under)
    assert await page.evaluate("whiteboard.board.size") == 0, "the space bar is held to move, not to draw"


async def test_the_board_is_saved_as_a_picture(browser: Browser, server: Server, room: str) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW), server, room)
    await draw(page, wave(300))
    await page.click("#menu-button")
    async with page.expect_download() as download:
        await page.click("#export")
    picture = await (await download.value).path()
    assert picture.read_bytes().startswith(b"\x89PNG")
    shutil.copy(picture, ARTEFACTS / "export.png")


async def test_every_control_has_a_name(browser: Browser, server: Server, room: str) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW), server, room)
    nameless = await page.evaluate(
        """[...document.querySelectorAll("button, input, [role=radio]")]
             .filter((one) => !(one.ariaLabel || one.innerText.trim() || one.textContent.trim() || one.labels?.length))
             .map((one) => one.outerHTML)"""
    )
    assert nameless == []


async def test_colours_follow_the_system_until_somebody_chooses(browser: Browser, server: Server, room: str) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW, color_scheme="dark"), server, room)
    theme = "document.documentElement.dataset.theme"
    assert await page.evaluate(theme) == "dark"
    await page.emulate_media(color_scheme="light")
    await page.wait_for_function(f"{theme} === 'light'")
    await page.keyboard.press("d")
    assert await page.evaluate(theme) == "dark"
    await page.reload()
    assert await page.evaluate(theme) == "dark"


async def test_simplified_strokes_stay_close_to_what_was_drawn(browser: Browser, server: Server, room: str) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW), server, room)
    worst, kept = await page.evaluate(
        """async () => {
          const { simplify, distanceSquared, STEP } = await import("/js/geometry.js");
          const points = Array.from({ length: 400 }, (_, i) => [i, 50 * Math.sin(i / 20), 0.5]).flat();
          const fewer = simplify(points, 0.3);
          let worst = 0;
          for (let i = 0; i < points.length; i += STEP) {
            let best = Infinity;
            for (let j = 0; j + STEP < fewer.length; j += STEP) {
              const [ax, ay, , bx, by] = fewer.slice(j, j + 5);
              best = Math.min(best, distanceSquared(points[i], points[i + 1], ax, ay, bx, by));
            }
            worst = Math.max(worst, Math.sqrt(best));
          }
          return [worst, fewer.length / points.length];
        }"""
    )
    assert worst < 0.32
    assert kept < 0.3


async def test_the_board_shows_what_waits_on_top_of_what_is_confirmed(
    browser: Browser, server: Server, room: str
) -> None:
    page = await open_board(await browser.new_context(viewport=WINDOW), server, room)
    seen = await page.evaluate(
        """async () => {
          const { Board } = await import("/js/board.js");
          const stroke = (id, order) => ({ id, tool: "pen", colour: "ink", width: 4, points: [0, 0, 0.5], order });
          const board = new Board();
          const seen = [];
          const look = () => seen.push(board.strokes().map(({ id }) => id).join(""));
          board.expect("x", 2);
          board.receive([stroke("a", 1)], false);
          look();                                                      // not whole yet
          board.receive([stroke("b", 2)], true);
          look();
          const added = { kind: "add", strokes: [stroke("m", 0)] };
          board.propose(added);
          board.learn({ kind: "add", strokes: [stroke("c", 3)] }, 3);  // theirs came first: it lies below
          look();
          const removed = { kind: "remove", ids: ["a"] };
          board.propose(removed);
          look();
          board.learn({ kind: "clear" }, 4);                           // what waits is still to be made
          look();
          board.settle(added, 5);
          board.settle(removed, 6);
          board.learn({ kind: "add", strokes: [stroke("z", 7)] }, 7);
          look();
          const refused = { kind: "add", strokes: [stroke("n", 0)] };
          board.propose(refused);
          look();
          board.settle(refused, null);
          look();
          return [...seen, board.known.revision];
        }"""
    )
    assert seen == ["", "ab", "abcm", "bcm", "m", "mz", "mzn", "mz", 7]


async def test_a_page_that_missed_a_change_fetches_the_board_anew(browser: Browser, server: Server, room: str) -> None:
    ada, grace = await two_windows(browser, server, room)
    await draw(ada, wave(200))
    await shows(grace, 1)
    await grace.evaluate("whiteboard.board.known.revision = 0")
    await draw(ada, wave(300))
    await shows(grace, 2)
    await ready(grace)
    assert await board(grace) == await board(ada)
