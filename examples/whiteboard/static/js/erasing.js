import { touches } from "./stroke.js";

const RADIUS = 7; // pixels of the screen

/** One sweep of the eraser: what it touches fades, and goes when it is lifted. */
export class Erasing {
  #board;
  #canvas;
  #radius;
  #at;

  /**
   * @param {import("./board.js").Board} board
   * @param {import("./canvas.js").Canvas} canvas
   * @param {number[]} point
   * @param {number} scale
   */
  constructor(board, canvas, point, scale) {
    this.#board = board;
    this.#canvas = canvas;
    this.#radius = RADIUS / scale;
    this.#at = point.slice(0, 2);
    this.extend(point);
  }

  /** @param {number[]} point */
  extend([x, y]) {
    const { faded } = this.#canvas;
    const before = faded.size;
    for (const stroke of this.#board.strokes()) {
      if (!faded.has(stroke.id) && touches(stroke, this.#at, [x, y], this.#radius)) faded.add(stroke.id);
    }
    this.#at = [x, y];
    if (faded.size !== before) this.#canvas.redraw();
  }

  /** @returns {import("./stroke.js").Stroke[]} what it took off */
  finish() {
    const taken = this.#board.strokes().filter((stroke) => this.#canvas.faded.has(stroke.id));
    this.cancel();
    return taken;
  }

  cancel() {
    this.#canvas.faded.clear();
    this.#canvas.redraw();
  }
}
