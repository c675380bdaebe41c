// The board as this page knows it.
//
//  (1) `confirmed` is what the server has told; `pending` are the changes made here that it has not acknowledged.
//  (2) What is shown is always `confirmed` with `pending` made on top of it, so a change is seen at once, and what the
//      server says last wins.
//  (3) While a new copy comes in pages it is built aside, and takes the place of the old one when it is whole.

import { Signal } from "./signal.js";

/** @typedef {import("./stroke.js").Stroke} Stroke */
/** @typedef {{kind: "add", strokes: Stroke[]} | {kind: "remove", ids: string[]} | {kind: "clear"}} Change */
/** @typedef {{grown: Stroke[]} | {redraw: true}} Shown  what must be drawn: a few more strokes on top, or everything */

export class Board {
  /** @type {Signal<Shown>} */
  changed = new Signal();
  /** @type {{board: string, revision: number}} */
  known = { board: "", revision: -1 };

  /** @type {Map<string, Stroke>} */
  #confirmed = new Map();
  /** @type {Map<string, Stroke> | null} */
  #incoming = null;
  /** @type {Change[]} */
  #pending = [];
  /** @type {Map<string, Stroke>} */
  #visible = new Map();
  /** @type {Stroke[] | null} */
  #ordered = [];

  /** @returns {number} */
  get size() {
    return this.#visible.size;
  }

  /** @returns {boolean} whether what is shown is all there is */
  get whole() {
    return !this.#incoming && this.known.revision >= 0;
  }

  /**
   * @param {string} id
   * @returns {Stroke | undefined}
   */
  stroke(id) {
    return this.#visible.get(id);
  }

  /** @returns {readonly Stroke[]} what is shown, from below to the top */
  strokes() {
    this.#ordered ??= [...this.#visible.values()].sort(fromBelow);
    return this.#ordered;
  }

  /** @param {Change} change  made here, and not known to the server yet */
  propose(change) {
    this.#pending.push(change);
    this.#show(change);
  }

  /**
   * The server has made a change of ours, or has nothing to do with it any more.
   * @param {Change} change
   * @param {number | null} revision  the change's, or null where it makes no difference now
   */
  settle(change, revision) {
    this.#pending = this.#pending.filter((other) => other !== change);
    if (revision !== null) this.#confirm(placed(change, revision), revision);
    this.#show(change);
  }

  /**
   * Somebody else made a change.
   * @param {Change} change
   * @param {number} revision
   */
  learn(change, revision) {
    this.#confirm(change, revision);
    this.#show(change);
  }

  /**
   * A copy of the board begins to come.
   * @param {string} board
   * @param {number} revision
   */
  expect(board, revision) {
    this.known = { board, revision };
    this.#incoming = new Map();
  }

  /**
   * @param {Stroke[]} strokes
   * @param {boolean} whole  whether these were the last
   */
  receive(strokes, whole) {
    if (!this.#incoming) return;
    for (const stroke of strokes) this.#incoming.set(stroke.id, stroke);
    if (!whole) return;
    this.#confirmed = this.#incoming;
    this.#incoming = null;
    this.#showAll();
  }

  /** A copy that did not become whole is worth nothing. */
  interrupted() {
    if (this.#incoming) this.known = { board: "", revision: -1 };
    this.#incoming = null;
  }

  /** @type {(change: Change, revision: number) => void} */
  #confirm(change, revision) {
    this.known.revision = revision;
    apply(this.#confirmed, change);
    if (this.#incoming) apply(this.#incoming, change);
  }

  /** @param {Change} change */
  #show(change) {
    if (change.kind === "clear") return this.#showAll();
    const ids = change.kind === "add" ? change.strokes.map((stroke) => stroke.id) : change.ids;
    const grown = [];
    let redraw = false;
    for (const id of ids) {
      const before = this.#visible.get(id);
      const now = this.#look(id);
      if (before === now) continue;
      if (!before && now && this.#isTop(now)) {
        grown.push(now);
        this.#ordered?.push(now);
        this.#visible.set(id, now);
        continue;
      }
      redraw = true;
      this.#ordered = null;
      if (now) this.#visible.set(id, now);
      else this.#visible.delete(id);
    }
    if (redraw) this.changed.emit({ redraw });
    else if (grown.length) this.changed.emit({ grown });
  }

  #showAll() {
    this.#visible = new Map(this.#confirmed);
    for (const change of this.#pending) apply(this.#visible, change);
    this.#ordered = null;
    this.changed.emit({ redraw: true });
  }

  /**
   * @param {string} id
   * @returns {Stroke | undefined} what is to be seen of it
   */
  #look(id) {
    let seen = this.#confirmed.get(id);
    for (const change of this.#pending) {
      if (change.kind === "add") seen ??= added(change).get(id);
      else if (change.kind === "clear" || change.ids.includes(id)) seen = undefined;
    }
    return seen;
  }

  /** @param {Stroke} stroke */
  #isTop(stroke) {
    const strokes = this.strokes();
    return !strokes.length || fromBelow(strokes[strokes.length - 1], stroke) <= 0;
  }
}

/** @type {WeakMap<Change, Map<string, Stroke>>} */
const additions = new WeakMap();

/**
 * @param {Change & {kind: "add"}} change
 * @returns {Map<string, Stroke>} its strokes by their ids
 */
function added(change) {
  let byId = additions.get(change);
  if (!byId) {
    byId = new Map(change.strokes.map((stroke) => [stroke.id, stroke]));
    additions.set(change, byId);
  }
  return byId;
}

/**
 * @param {Map<string, Stroke>} strokes
 * @param {Change} change
 */
function apply(strokes, change) {
  if (change.kind === "clear") strokes.clear();
  else if (change.kind === "remove") for (const id of change.ids) strokes.delete(id);
  else for (const stroke of change.strokes) if (!strokes.has(stroke.id)) strokes.set(stroke.id, stroke);
}

/**
 * New strokes get their order from the change that brings them, here as on the server. It is set in place, because it
 * is the same stroke that is on the screen already.
 * @type {(change: Change, revision: number) => Change}
 */
function placed(change, revision) {
  if (change.kind === "add") for (const stroke of change.strokes) {
    if (!stroke.order || stroke.order >= revision) stroke.order = revision;
  }
  return change;
}

/**
 * Those without an order are on top, as they were drawn.
 * @type {(a: Stroke, b: Stroke) => number}
 */
function fromBelow(a, b) {
  if (!a.order || !b.order) return Number(!a.order) - Number(!b.order);
  return a.order - b.order || (a.id < b.id ? -1 : 1);
}
