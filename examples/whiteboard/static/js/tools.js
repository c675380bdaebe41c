import { PALETTE } from "./palette.js";
import { recall, remember } from "./memory.js";
import { Signal } from "./signal.js";

/** @typedef {"pen" | "marker" | "eraser" | "hand"} Tool */

export const WIDTHS = [2, 4, 8, 16];
/** @type {Tool[]} */
const TOOLS = ["pen", "marker", "eraser", "hand"];

/** What is in the hand: a tool, and the ink for those that draw. */
export class Tools {
  /** @type {Signal<void>} */
  changed = new Signal();
  /** @type {Tool} */
  tool = TOOLS.find((tool) => tool === recall("whiteboard/tool")) ?? "pen";
  colour = validColour(recall("whiteboard/ink")) ?? "ink";
  width = WIDTHS.find((width) => width === Number(recall("whiteboard/width"))) ?? 4;
  /** @type {"pen" | "marker"} */
  #drawing = this.tool === "marker" ? "marker" : "pen";

  /** @returns {{tool: "pen" | "marker", colour: string, width: number}} how the next stroke will look */
  get ink() {
    return { tool: this.#drawing, colour: this.colour, width: this.width };
  }

  /** @param {Tool} tool */
  take(tool) {
    this.tool = tool;
    if (tool === "pen" || tool === "marker") this.#drawing = tool;
    remember("whiteboard/tool", tool);
    this.changed.emit();
  }

  /** @param {string} colour  somebody who takes ink wants to draw */
  dip(colour) {
    this.colour = validColour(colour) ?? this.colour;
    remember("whiteboard/ink", this.colour);
    this.take(this.#drawing);
  }

  /** @param {number} width */
  widen(width) {
    this.width = width;
    remember("whiteboard/width", String(width));
    this.take(this.tool === "hand" ? this.#drawing : this.tool);
  }

  /** @param {1 | -1} direction  to the next width */
  step(direction) {
    const index = WIDTHS.indexOf(this.width) + direction;
    this.widen(WIDTHS[Math.max(0, Math.min(WIDTHS.length - 1, index))]);
  }
}

/** @param {string | null} colour */
function validColour(colour) {
  return colour && (colour in PALETTE || /^#[0-9a-f]{6}$/.test(colour)) ? colour : null;
}
