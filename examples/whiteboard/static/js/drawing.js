import { STEP, simplify } from "./geometry.js";
import { newId } from "./ids.js";
import { POINTS_MAX } from "./stroke.js";

/** @typedef {import("./stroke.js").Stroke} Stroke */

/** One line under the pen, from touching the board to leaving it. A very long one becomes several strokes. */
export class Drawing {
  /** @type {Stroke} */
  #stroke;
  /** @type {Stroke[]} */
  #full = [];
  #sent = 0;
  #spacing;
  #ink;

  /**
   * @param {{tool: "pen" | "marker", colour: string, width: number}} ink
   * @param {number[]} point
   * @param {number} scale  of the view: what is too small to be seen is not kept
   */
  constructor(ink, point, scale) {
    this.#ink = ink;
    this.#spacing = 0.6 / scale;
    this.#stroke = { id: newId(), ...ink, points: [...point] };
  }

  /** @returns {Stroke[]} what is to be seen of it now */
  strokes() {
    return [...this.#full, this.#stroke];
  }

  /** @param {number[]} point */
  extend([x, y, pressure]) {
    const { points } = this.#stroke;
    const [lastX, lastY] = points.slice(-STEP);
    if (Math.hypot(x - lastX, y - lastY) < this.#spacing) return;
    points.push(x, y, pressure);
    if (points.length >= POINTS_MAX * STEP) this.#goOn();
  }

  /** @returns {object | null} what others have not been told of it */
  piece() {
    const { points, ...look } = this.#stroke;
    if (this.#sent === points.length) return null;
    const fresh = points.slice(this.#sent).map((number) => Math.round(number * 100) / 100);
    return { ...look, at: this.#sent / STEP, points: fresh };
  }

  /** The last piece has gone out. */
  told() {
    this.#sent = this.#stroke.points.length;
  }

  /** @returns {Stroke[]} as they go on the board */
  finish() {
    return this.strokes().map((stroke) => ({ ...stroke, points: simplify(stroke.points, this.#spacing / 2) }));
  }

  #goOn() {
    const last = this.#stroke.points.slice(-STEP);
    this.#full.push(this.#stroke);
    this.#stroke = { id: newId(), ...this.#ink, points: last };
    this.#sent = 0;
  }
}
