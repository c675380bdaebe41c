import { Drawing } from "./drawing.js";
import { Erasing } from "./erasing.js";

/**
 * What this page does on the board, whatever the device: draws, erases, and shows the others where it is.
 * Points are those of the board, with pressure.
 */
export class Hand {
  /** @type {import("./canvas.js").Canvas | undefined} which in turn shows what is drawn here */
  canvas;
  /** @type {Drawing | null} */
  #drawing = null;
  /** @type {Erasing | null} */
  #erasing = null;
  /** @type {{x: number, y: number} | null} */
  #at = null;
  #frame = 0;
  #parts;

  /**
   * @param {{
   *   board: import("./board.js").Board, session: import("./session.js").Session,
   *   history: import("./history.js").History, tools: import("./tools.js").Tools,
   *   viewport: import("./viewport.js").Viewport,
   * }} parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @returns {import("./stroke.js").Stroke[]} what is being drawn */
  strokes() {
    return this.#drawing?.strokes() ?? [];
  }

  get busy() {
    return this.#drawing !== null || this.#erasing !== null;
  }

  /**
   * @param {number[]} point
   * @param {boolean} erase
   */
  begin(point, erase) {
    const { board, tools, viewport } = this.#parts;
    if (!this.canvas) return;
    if (erase) this.#erasing = new Erasing(board, this.canvas, point, viewport.scale);
    else this.#drawing = new Drawing(tools.ink, point, viewport.scale);
    this.hover(point);
  }

  /** @param {number[]} point */
  extend(point) {
    this.#drawing?.extend(point);
    this.#erasing?.extend(point);
    this.hover(point);
  }

  /** @param {number[]} point */
  hover([x, y]) {
    this.#at = { x: Math.round(x * 100) / 100, y: Math.round(y * 100) / 100 };
    if (this.#drawing) this.canvas?.wake();
    this.#frame ||= requestAnimationFrame(() => this.#tell());
  }

  finish() {
    const { history } = this.#parts;
    if (this.#drawing) {
      const strokes = this.#drawing.finish();
      this.#drawing = null;
      history.add(strokes);
    }
    if (this.#erasing) {
      const taken = this.#erasing.finish();
      this.#erasing = null;
      history.remove(taken);
    }
    this.canvas?.wake();
  }

  /** It was not meant: two fingers are there to move the view. */
  cancel() {
    for (const { id } of this.strokes()) this.#parts.session.point({ ...this.#at, dropped: id }, true);
    this.#drawing = null;
    this.#erasing?.cancel();
    this.#erasing = null;
    this.canvas?.wake();
  }

  /** The pointer has left the page. */
  leave() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#at = null;
    this.#parts.session.point({ away: true }, true);
  }

  /** Once a frame, so up to sixty times a second. */
  #tell() {
    this.#frame = 0;
    if (!this.#at) return;
    const piece = this.#drawing?.piece();
    const sent = this.#parts.session.point(piece ? { ...this.#at, piece } : this.#at);
    if (sent && piece) this.#drawing?.told();
  }
}
