// The conversation with the room. What the messages mean stands in app.py.

import { Signal } from "./signal.js";

/** @typedef {import("./board.js").Change} Change */
/** @typedef {import("./outbox.js").Entry} Entry */
/** @typedef {"connecting" | "syncing" | "ready" | "offline"} Status */

const STROKES_PER_CHANGE = 50;
const NUMBERS_PER_CHANGE = 60_000;
const BACKLOG_MOST = 64 * 1024;
const ALONE_AFTER_MS = 1_500; // a line that is back sooner has not made anybody leave

export class Session {
  /** @type {Signal<Status>} */
  changed = new Signal();
  /** @type {Signal<string>} what people should read */
  told = new Signal();
  /** @type {Status} */
  status = "connecting";
  /** the id under which others see this page */
  you = "";

  #connection;
  #board;
  #outbox;
  #people;
  #live;
  #cursors;
  #profile;
  #welcomed = false;
  #alone = 0;

  /**
   * @param {{
   *   connection: import("./connection.js").Connection, board: import("./board.js").Board,
   *   outbox: import("./outbox.js").Outbox, people: import("./people.js").People,
   *   live: import("./live_strokes.js").LiveStrokes, cursors: import("./cursors.js").Cursors,
   *   profile: import("./profile.js").Profile,
   * }} parts
   */
  constructor({ connection, board, outbox, people, live, cursors, profile }) {
    this.#connection = connection;
    this.#board = board;
    this.#outbox = outbox;
    this.#people = people;
    this.#live = live;
    this.#cursors = cursors;
    this.#profile = profile;
    for (const entry of outbox.entries) board.propose(entry.change);
    connection.changed.listen((state) => (state === "open" ? this.#greet() : this.#parted(state)));
    connection.received.listen((message) => this.#hear(message));
    profile.changed.listen(() => this.#welcomed && connection.send({ type: "profile", ...profile.shown }));
  }

  /** @returns {number} changes that the server has not acknowledged */
  get waiting() {
    return this.#outbox.entries.length;
  }

  /**
   * Change the board: seen here at once, by others when the server has it.
   * @param {Change} change
   */
  change(change) {
    for (const part of inParts(change)) {
      const { entry, kept } = this.#outbox.add(part);
      this.#board.propose(part);
      this.#send(entry);
      if (!kept && this.status === "offline") this.told.emit("This browser cannot keep that: stay here until it is sent.");
    }
    this.changed.emit(this.status);
  }

  /**
   * Show others where we are, if the line is free: what is out of date the next moment never queues up.
   * @param {object} cursor
   * @param {boolean} [last]  it ends something, and is worth waiting for
   * @returns {boolean} whether it went out
   */
  point(cursor, last = false) {
    if (!this.#welcomed || (!last && this.#connection.backlog > BACKLOG_MOST)) return false;
    return this.#connection.send({ type: "cursor", ...cursor });
  }

  #greet() {
    this.#connection.send({ type: "hello", ...this.#profile.shown, ...this.#board.known });
  }

  /** @param {import("./connection.js").State} state */
  #parted(state) {
    this.#welcomed = false;
    this.#board.interrupted();
    this.#live.clear();
    this.#cursors.clear();
    this.#alone ||= setTimeout(() => this.#people.replace([], ""), ALONE_AFTER_MS);
    const first = this.status === "connecting" && state === "connecting";
    this.#turn(first ? "connecting" : "offline");
  }

  /**
   * What was said to everybody before we were welcome is part of what we will be told then.
   * @param {any} message
   */
  #hear(message) {
    if (!this.#welcomed && message.type !== "welcome" && message.type !== "error") return;
    switch (message.type) {
      case "welcome": return this.#welcome(message);
      case "strokes": return this.#receive(message);
      case "added": return this.#learn({ kind: "add", strokes: message.strokes }, message.revision);
      case "removed": return this.#learn({ kind: "remove", ids: message.ids }, message.revision);
      case "cleared": return this.#learn({ kind: "clear" }, message.revision);
      case "done": return this.#settle(message);
      case "refused": return this.#refused(message);
      case "person": return this.#people.put(message.person);
      case "gone": return this.#part(message.id);
      case "cursor": return this.#follow(message);
      case "error": return this.told.emit(message.message);
      default: console.warn("the room said something new", message);
    }
  }

  /** @param {any} message */
  #welcome({ you, people, board, revision, current }) {
    this.#connection.settled();
    this.#welcomed = true;
    clearTimeout(this.#alone);
    this.#alone = 0;
    this.you = you;
    this.#people.replace(people, you);
    if (!current) this.#board.expect(board, revision);
    this.#turn(current ? "ready" : "syncing");
    for (const entry of this.#outbox.entries) this.#send(entry);
  }

  /** @param {any} message */
  #receive({ strokes, after }) {
    this.#board.receive(strokes, after === null);
    if (after === null) this.#turn("ready");
    else this.#connection.send({ type: "sync", after });
  }

  /** @type {(change: Change, revision: number) => void} */
  #learn(change, revision) {
    if (this.#missed(revision)) return;
    if (change.kind === "add") for (const stroke of change.strokes) this.#live.drop(stroke.id);
    this.#board.learn(change, revision);
  }

  /** @param {{client: string, seq: number, revision: number, again?: boolean}} message */
  #settle({ client, seq, revision, again }) {
    if (!again && this.#missed(revision)) return;
    const entry = this.#outbox.take(client, seq);
    if (entry) this.#board.settle(entry.change, again ? null : revision);
    else if (!again) this.#connection.reconnect();
    this.changed.emit(this.status);
  }

  /** @param {{client: string, seq: number, message: string}} message */
  #refused({ client, seq, message }) {
    const entry = this.#outbox.take(client, seq);
    if (entry) this.#board.settle(entry.change, null);
    this.told.emit(message);
    this.changed.emit(this.status);
  }

  /**
   * A change that does not follow the last one we know means that we lost one: start over.
   * @param {number} revision
   */
  #missed(revision) {
    const missed = revision !== this.#board.known.revision + 1;
    if (missed) this.#connection.reconnect();
    return missed;
  }

  /** @param {string} id */
  #part(id) {
    this.#people.remove(id);
    this.#cursors.remove(id);
    this.#live.forget(id);
  }

  /** @param {any} message */
  #follow({ id, x, y, away, piece, dropped }) {
    const person = this.#people.get(id);
    if (!person) return;
    if (away) this.#cursors.remove(id);
    else this.#cursors.move(person, x, y);
    if (piece) this.#live.extend(id, piece);
    if (dropped) this.#live.drop(dropped);
  }

  /** @param {Entry} entry */
  #send({ client, seq, change }) {
    if (!this.#welcomed) return;
    const { kind, ...rest } = change;
    this.#connection.send({ type: kind, client, seq, ...rest });
  }

  /** @param {Status} status */
  #turn(status) {
    this.status = status;
    this.changed.emit(status);
  }
}

/**
 * @param {Change} change
 * @returns {Generator<Change>} the same in parts that the room takes
 */
function* inParts(change) {
  if (change.kind === "remove") {
    for (let i = 0; i < change.ids.length; i += STROKES_PER_CHANGE) {
      yield { kind: "remove", ids: change.ids.slice(i, i + STROKES_PER_CHANGE) };
    }
  } else if (change.kind === "add") {
    let strokes = [];
    let numbers = 0;
    for (const stroke of change.strokes) {
      if (strokes.length && (strokes.length >= STROKES_PER_CHANGE || numbers + stroke.points.length > NUMBERS_PER_CHANGE)) {
        yield { kind: "add", strokes };
        strokes = [];
        numbers = 0;
      }
      strokes.push(stroke);
      numbers += stroke.points.length;
    }
    if (strokes.length) yield { kind: "add", strokes };
  } else {
    yield change;
  }
}
