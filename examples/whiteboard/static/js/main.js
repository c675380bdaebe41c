/** Puts the parts together. Each of them stands in the module of its name. */

import { Board } from "./board.js";
import { Canvas } from "./canvas.js";
import { Connection } from "./connection.js";
import { Cursors } from "./cursors.js";
import { overlap, unionOf } from "./geometry.js";
import { Hand } from "./hand.js";
import { History } from "./history.js";
import { newId } from "./ids.js";
import { listenToKeys } from "./keyboard.js";
import { LiveStrokes } from "./live_strokes.js";
import { Outbox } from "./outbox.js";
import { find } from "./page.js";
import { People } from "./people.js";
import { PeopleList } from "./people_list.js";
import { savePicture } from "./picture.js";
import { Pointer } from "./pointer.js";
import { Popup } from "./popup.js";
import { Profile } from "./profile.js";
import { roomLink, roomName, roomSocket } from "./room.js";
import { Session } from "./session.js";
import { copy } from "./share.js";
import { showStatus } from "./status.js";
import { box } from "./stroke.js";
import { Theme } from "./theme.js";
import { toast } from "./toasts.js";
import { Toolbar } from "./toolbar.js";
import { Tools } from "./tools.js";
import { Viewport } from "./viewport.js";

const room = roomName();
const client = newId();
const theme = new Theme();
const viewport = new Viewport();
const board = new Board();
const people = new People();
const profile = new Profile();
const live = new LiveStrokes();
const cursors = new Cursors(viewport, people, theme);
const connection = new Connection(roomSocket(room, client));
const outbox = new Outbox(room, client);
const session = new Session({ connection, board, outbox, people, live, cursors, profile });
const history = new History(board, session);
const tools = new Tools();
const hand = new Hand({ board, session, history, tools, viewport });
const canvas = new Canvas(board, viewport, theme, live, () => hand.strokes());
hand.canvas = canvas;
const pointer = new Pointer(hand, tools, viewport);

new PeopleList(people, profile, theme);
new Toolbar(tools, theme, history);
new Popup("#people-button", "#people");
new Popup("#menu-button", "#menu");
showStatus(session);
session.told.listen(toast);

const clearDialog = find("#clear-dialog", HTMLDialogElement);
const helpDialog = find("#help-dialog", HTMLDialogElement);
const fit = () => viewport.fit(unionOf(board.strokes().map(box)));
const help = () => helpDialog.showModal();

/** @type {(selector: string, action: () => void) => void} */
const onClick = (selector, action) => find(selector, HTMLElement).addEventListener("click", action);
onClick("#share", async () => {
  const link = roomLink(room);
  toast((await copy(link)) ? "Link copied. Whoever opens it draws here with you." : link);
});
onClick("#new-board", () => {
  find("#new-board", HTMLAnchorElement).href = roomLink(newId().slice(0, 8));
});
onClick("#export", () => {
  savePicture(board.strokes(), theme.name, `whiteboard ${room}`).catch((error) => toast(error.message));
});
onClick("#theme", () => theme.toggle());
onClick("#help", help);
onClick("#clear", () => clearDialog.showModal());
onClick("#zoom-in", () => viewport.zoom(1.25));
onClick("#zoom-out", () => viewport.zoom(0.8));
onClick("#zoom-reset", () => viewport.zoom(1 / viewport.scale));
onClick("#zoom-fit", fit);
clearDialog.addEventListener("close", () => {
  if (clearDialog.returnValue === "clear") history.clear();
  clearDialog.returnValue = "";
});
addEventListener("click", (event) => {
  const tool = event.target instanceof Element && event.target.closest("#bottom, #zoom");
  if (tool && event.detail > 0) find("#board", HTMLElement).focus({ preventScroll: true }); // the space bar is for moving
});
listenToKeys({ tools, history, theme, viewport, pointer, fit, help });

const showZoom = () => {
  find("#zoom-level", HTMLElement).textContent = `${Math.round(viewport.scale * 100)}%`;
};
const showTheme = () => {
  find("#theme span", HTMLElement).textContent = theme.name === "dark" ? "Light colours" : "Dark colours";
};
const showHint = () => {
  find("#hint", HTMLElement).toggleAttribute("data-gone", board.size > 0 || hand.busy || !board.whole);
};
viewport.changed.listen(showZoom);
theme.changed.listen(showTheme);
board.changed.listen(showHint);
session.changed.listen(showHint);
find("#board", HTMLElement).addEventListener("pointerdown", showHint);
showTheme();
showHint();

let arrived = false;
session.changed.listen((status) => {
  if (arrived || status !== "ready") return;
  arrived = true;
  const seen = board.strokes().some((stroke) => overlap(box(stroke), viewport.box()));
  if (!seen && board.size) fit();
});

document.title = room === "default" ? "Whiteboard" : `${room} · Whiteboard`;
find("#room-name", HTMLElement).textContent = room === "default" ? "Whiteboard" : room;
connection.open();

/** For the console, and for tests: the parts of this page. */
Object.assign(window, { whiteboard: { board, session, connection, people, cursors, live, viewport, history, tools, outbox } });
