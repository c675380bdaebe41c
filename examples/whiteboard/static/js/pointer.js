import { find } from "./page.js";

const EVEN = 0.5;
const PEN_ERASER = 32;

/** Mouse, pen and fingers on the board. One finger draws, two move and zoom; beside a pen, fingers only move. */
export class Pointer {
  #element = find("#board", HTMLElement);
  #hand;
  #tools;
  #viewport;
  /** @type {Map<number, [number, number]>} pointers that are down, and where */
  #down = new Map();
  /** @type {"idle" | "drawing" | "moving"} */
  #mode = "idle";
  #penSeen = false;
  #space = false;

  /**
   * @param {import("./hand.js").Hand} hand
   * @param {import("./tools.js").Tools} tools
   * @param {import("./viewport.js").Viewport} viewport
   */
  constructor(hand, tools, viewport) {
    this.#hand = hand;
    this.#tools = tools;
    this.#viewport = viewport;
    const element = this.#element;
    element.addEventListener("pointerdown", (event) => this.#press(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#lift(event));
    element.addEventListener("pointercancel", (event) => this.#lift(event));
    element.addEventListener("pointerleave", (event) => this.#down.size || event.pointerType === "touch" || hand.leave());
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    addEventListener("blur", () => this.holdSpace(false));
    tools.changed.listen(() => this.#showMode());
    this.#showMode();
  }

  /** @param {boolean} held  the space bar turns the pen into a hand */
  holdSpace(held) {
    this.#space = held;
    this.#showMode();
  }

  /** @param {PointerEvent} event */
  #press(event) {
    event.preventDefault();
    this.#element.focus({ preventScroll: true });
    this.#element.setPointerCapture(event.pointerId);
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
    this.#penSeen ||= event.pointerType === "pen";
    if (this.#down.size > 1) this.#turnToMoving();
    else if (this.#moves(event)) this.#mode = "moving";
    else {
      this.#mode = "drawing";
      this.#hand.begin(this.#point(event), this.#erases(event));
    }
    this.#showMode();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#down.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#hand.hover(this.#point(event));
      return;
    }
    if (this.#mode === "drawing") {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) this.#hand.extend(this.#point(step));
    } else if (this.#mode === "moving") {
      this.#drag(event, before);
    }
    this.#down.set(event.pointerId, [event.clientX, event.clientY]);
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    if (!this.#down.delete(event.pointerId)) return;
    if (this.#mode === "drawing") this.#hand.finish();
    if (!this.#down.size) this.#mode = "idle";
    if (event.pointerType === "touch") this.#hand.leave();
    this.#showMode();
  }

  #turnToMoving() {
    if (this.#mode === "drawing") this.#hand.cancel();
    this.#mode = "moving";
  }

  /** @type {(event: PointerEvent, before: [number, number]) => void} */
  #drag(event, before) {
    const others = [...this.#down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const here = /** @type {[number, number]} */ ([event.clientX, event.clientY]);
    if (!others.length) return this.#viewport.pan(here[0] - before[0], here[1] - before[1]);
    const other = others[0];
    this.#viewport.pan((here[0] - before[0]) / 2, (here[1] - before[1]) / 2);
    const factor = Math.max(10, distance(here, other)) / Math.max(10, distance(before, other));
    this.#viewport.zoom(factor, (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    const [dx, dy] = event.shiftKey && !event.deltaX ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
    if (event.ctrlKey || event.metaKey) {
      const notches = Math.max(-60, Math.min(60, dy * lines));
      this.#viewport.zoom(Math.exp(-notches / 150), event.clientX, event.clientY);
    } else {
      this.#viewport.pan(-dx * lines, -dy * lines);
    }
  }

  /** @param {PointerEvent} event */
  #moves(event) {
    const finger = event.pointerType === "touch" && this.#penSeen;
    return finger || this.#space || event.button === 1 || (event.button === 0 && this.#tools.tool === "hand");
  }

  /** @param {PointerEvent} event */
  #erases(event) {
    return this.#tools.tool === "eraser" || event.button === 2 || (event.buttons & PEN_ERASER) !== 0;
  }

  /**
   * @param {PointerEvent} event
   * @returns {number[]}
   */
  #point(event) {
    const pressure = event.pointerType === "pen" ? event.pressure || EVEN : EVEN;
    return [...this.#viewport.toBoard(event.clientX, event.clientY), Math.min(1, pressure)];
  }

  #showMode() {
    const resting = this.#space || this.#tools.tool === "hand" ? "hand" : this.#tools.tool;
    this.#element.dataset.mode = this.#mode === "moving" ? "panning" : resting;
  }
}

/** @type {(a: [number, number], b: [number, number]) => number} */
function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
