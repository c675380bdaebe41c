import { Signal } from "./signal.js";

/** @typedef {import("./stroke.js").Stroke} Stroke */
/** @typedef {{added: Stroke[], removed: Stroke[]}} Step */

const STEPS_MOST = 500;

/** What was done on this page, so that it can be undone: what others did stays as it is. */
export class History {
  /** @type {Signal<void>} */
  changed = new Signal();
  /** @type {Step[]} */
  #done = [];
  /** @type {Step[]} */
  #undone = [];
  #board;
  #session;

  /**
   * @param {import("./board.js").Board} board
   * @param {import("./session.js").Session} session
   */
  constructor(board, session) {
    this.#board = board;
    this.#session = session;
  }

  get canUndo() {
    return this.#done.length > 0;
  }

  get canRedo() {
    return this.#undone.length > 0;
  }

  /** @param {Stroke[]} strokes */
  add(strokes) {
    this.#do({ added: strokes, removed: [] });
  }

  /** @param {Stroke[]} strokes */
  remove(strokes) {
    if (strokes.length) this.#do({ added: [], removed: strokes });
  }

  clear() {
    const removed = [...this.#board.strokes()];
    this.#session.change({ kind: "clear" });
    if (removed.length) this.#remember({ added: [], removed });
  }

  undo() {
    const step = this.#done.pop();
    if (!step) return;
    this.#make({ added: step.removed, removed: step.added });
    this.#undone.push(step);
    this.changed.emit();
  }

  redo() {
    const step = this.#undone.pop();
    if (!step) return;
    this.#make(step);
    this.#done.push(step);
    this.changed.emit();
  }

  /** @param {Step} step */
  #do(step) {
    this.#make(step);
    this.#remember(step);
  }

  /** @param {Step} step */
  #remember(step) {
    this.#done.push(step);
    if (this.#done.length > STEPS_MOST) this.#done.shift();
    this.#undone = [];
    this.changed.emit();
  }

  /** @param {Step} step  some of it may be so already, because of others */
  #make({ added, removed }) {
    const ids = removed.map((stroke) => stroke.id).filter((id) => this.#board.stroke(id));
    const missing = added.filter((stroke) => !this.#board.stroke(stroke.id));
    if (ids.length) this.#session.change({ kind: "remove", ids });
    if (missing.length) this.#session.change({ kind: "add", strokes: missing });
  }
}
