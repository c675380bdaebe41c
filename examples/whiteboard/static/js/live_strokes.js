import { STEP } from "./geometry.js";
import { POINTS_MAX } from "./stroke.js";
import { Signal } from "./signal.js";

/** @typedef {import("./stroke.js").Stroke} Stroke */
/** @typedef {{id: string, tool: "pen" | "marker", colour: string, width: number, at: number, points: number[]}} Piece */

/** The strokes that the others are drawing just now. */
export class LiveStrokes {
  /** @type {Signal<void>} */
  changed = new Signal();
  /** @type {Map<string, {owner: string, stroke: Stroke}>} */
  #strokes = new Map();

  /** @returns {Stroke[]} */
  strokes() {
    return [...this.#strokes.values()].map(({ stroke }) => stroke);
  }

  /**
   * @param {string} owner
   * @param {Piece} piece
   */
  extend(owner, { at, points, ...look }) {
    if (!points.length) return;
    const { stroke } = this.#strokes.get(look.id) ?? this.#begin(owner, look);
    if (stroke.points.length < 2 * POINTS_MAX * STEP) stroke.points.push(...points);
    this.changed.emit();
  }

  /** @param {string} id  of a stroke that is finished, or never will be */
  drop(id) {
    if (this.#strokes.delete(id)) this.changed.emit();
  }

  /** @param {string} owner  who has left */
  forget(owner) {
    for (const [id, live] of this.#strokes) if (live.owner === owner) this.drop(id);
  }

  clear() {
    this.#strokes.clear();
    this.changed.emit();
  }

  /** @type {(owner: string, look: Omit<Stroke, "points">) => {owner: string, stroke: Stroke}} */
  #begin(owner, look) {
    const live = { owner, stroke: { ...look, points: [] } };
    this.#strokes.set(look.id, live);
    return live;
  }
}
