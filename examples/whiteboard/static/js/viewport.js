import { Signal } from "./signal.js";

const SCALE_LEAST = 0.1;
const SCALE_MOST = 8;

/** Which part of the endless board is on the screen, and how large. */
export class Viewport {
  /** @type {Signal<void>} */
  changed = new Signal();
  scale = 1;
  /** the point of the board at the left upper corner of the screen */
  x = 0;
  y = 0;
  width = innerWidth;
  height = innerHeight;

  constructor() {
    this.centre();
    addEventListener("resize", () => {
      this.width = innerWidth;
      this.height = innerHeight;
      this.changed.emit();
    });
  }

  /** @type {(x: number, y: number) => [number, number]} */
  toBoard(x, y) {
    return [this.x + x / this.scale, this.y + y / this.scale];
  }

  /** @type {(x: number, y: number) => [number, number]} */
  toScreen(x, y) {
    return [(x - this.x) * this.scale, (y - this.y) * this.scale];
  }

  /** @returns {import("./geometry.js").Box} what is on the screen */
  box() {
    return { left: this.x, top: this.y, right: this.x + this.width / this.scale, bottom: this.y + this.height / this.scale };
  }

  /** @type {(dx: number, dy: number) => void} in pixels of the screen */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.changed.emit();
  }

  /**
   * Zoom, with the point of the board under (x, y) staying there.
   * @param {number} factor
   * @param {number} [x]
   * @param {number} [y]
   */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [boardX, boardY] = this.toBoard(x, y);
    this.scale = Math.max(SCALE_LEAST, Math.min(SCALE_MOST, this.scale * factor));
    this.x = boardX - x / this.scale;
    this.y = boardY - y / this.scale;
    this.changed.emit();
  }

  /** The middle of the board in the middle of the screen, at its own size. */
  centre() {
    this.scale = 1;
    this.x = -this.width / 2;
    this.y = -this.height / 2;
    this.changed.emit();
  }

  /** @param {import("./geometry.js").Box | null} box  to be seen whole */
  fit(box) {
    if (!box) return this.centre();
    const [width, height] = [Math.max(1, this.width - 120), Math.max(1, this.height - 240)];
    const scale = Math.min(width / (box.right - box.left), height / (box.bottom - box.top), 1.5);
    this.scale = Math.max(SCALE_LEAST, Math.min(SCALE_MOST, scale));
    this.x = (box.left + box.right - this.width / this.scale) / 2;
    this.y = (box.top + box.bottom - this.height / this.scale) / 2;
    this.changed.emit();
  }
}
