import { find } from "./page.js";
import { overlap } from "./geometry.js";
import { shade } from "./palette.js";
import { box, drawStroke } from "./stroke.js";

/** @typedef {import("./stroke.js").Stroke} Stroke */

const GRID = 26;
const FADED = 0.18;
const SLOW_MS = 45; // a board that takes longer to be seen slides as it is while the view moves
const SLIDING_MOST_MS = 140;

/** The board on the screen: finished strokes below, those being drawn above. */
export class Canvas {
  #board;
  #viewport;
  #theme;
  #live;
  #below = surface("#strokes");
  #above = surface("#live");
  #grid = find("#grid", HTMLElement);
  /** @type {Stroke[]} what is to be drawn on top in the next frame */
  #grown = [];
  #all = true;
  #frame = 0;
  #tookMs = 0;
  #settling = 0;
  /** the view in which the finished strokes were drawn */
  #drawn = { scale: 1, x: 0, y: 0 };
  /** @type {() => Stroke[]} */
  #own;
  /** @type {Set<string>} strokes that the eraser has touched and not yet removed */
  faded = new Set();

  /**
   * @param {import("./board.js").Board} board
   * @param {import("./viewport.js").Viewport} viewport
   * @param {import("./theme.js").Theme} theme
   * @param {import("./live_strokes.js").LiveStrokes} live
   * @param {() => Stroke[]} own  the strokes being drawn here
   */
  constructor(board, viewport, theme, live, own) {
    this.#board = board;
    this.#viewport = viewport;
    this.#theme = theme;
    this.#live = live;
    this.#own = own;
    board.changed.listen((shown) => ("grown" in shown ? this.#grow(shown.grown) : this.redraw()));
    viewport.changed.listen(() => this.#viewMoved());
    theme.changed.listen(() => this.redraw());
    live.changed.listen(() => this.wake());
    this.redraw();
  }

  /** Draw everything in the next frame. */
  redraw() {
    this.#all = true;
    this.wake();
  }

  /** Draw what is alive in the next frame. */
  wake() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #viewMoved() {
    if (this.#tookMs < SLOW_MS) return this.redraw();
    this.#settling ||= setTimeout(() => this.redraw(), SLIDING_MOST_MS);
    this.#showGrid();
    this.#slide();
    this.wake();
  }

  /** What was drawn, where it would be in the present view. */
  #slide() {
    const { scale, x, y } = this.#viewport;
    const drawn = this.#drawn;
    const [dx, dy] = [(drawn.x - x) * scale, (drawn.y - y) * scale];
    this.#below.canvas.style.transform = `translate(${dx}px, ${dy}px) scale(${scale / drawn.scale})`;
  }

  /** @param {Stroke[]} strokes */
  #grow(strokes) {
    this.#grown.push(...strokes);
    this.wake();
  }

  #draw() {
    this.#frame = 0;
    if (this.#all) this.#drawAll();
    else this.#drawStrokes(this.#below, this.#grown);
    if (this.#all || this.#grown.length) this.#describe();
    this.#all = false;
    this.#grown = [];
    this.#prepare(this.#above);
    this.#drawStrokes(this.#above, [...this.#live.strokes(), ...this.#own()], true);
  }

  #drawAll() {
    const began = performance.now();
    const { scale, x, y } = this.#viewport;
    clearTimeout(this.#settling);
    this.#settling = 0;
    this.#drawn = { scale, x, y };
    this.#below.canvas.style.transform = "";
    this.#showGrid();
    this.#prepare(this.#below);
    this.#drawStrokes(this.#below, this.#board.strokes());
    requestAnimationFrame(() => {
      this.#tookMs = performance.now() - began;
    });
  }

  #showGrid() {
    const { scale, x, y } = this.#viewport;
    const step = GRID * scale * 2 ** Math.max(0, Math.ceil(Math.log2(0.6 / scale)));
    this.#grid.style.backgroundSize = `${step}px ${step}px`;
    this.#grid.style.backgroundPosition = `${-x * scale - step / 2}px ${-y * scale - step / 2}px`;
  }

  #describe() {
    const count = this.#board.size;
    const words = count ? `A board with ${count} ${count === 1 ? "stroke" : "strokes"}` : "An empty board";
    this.#below.canvas.setAttribute("aria-label", words);
  }

  /** @param {CanvasRenderingContext2D} context  to be empty, and to take points of the board */
  #prepare(context) {
    const { canvas } = context;
    const { width, height, scale, x, y } = this.#viewport;
    const density = devicePixelRatio;
    if (canvas.width !== Math.round(width * density) || canvas.height !== Math.round(height * density)) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale * density, 0, 0, scale * density, -x * scale * density, -y * scale * density);
    context.lineCap = "round";
    context.lineJoin = "round";
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {readonly Stroke[]} strokes
   * @param {boolean} [growing]
   */
  #drawStrokes(context, strokes, growing = false) {
    const screen = this.#viewport.box();
    for (const stroke of strokes) {
      if (!growing && !overlap(box(stroke), screen)) continue;
      const colour = shade(stroke.colour, this.#theme.name);
      drawStroke(context, stroke, colour, { growing, alpha: this.faded.has(stroke.id) ? FADED : 1 });
    }
  }
}

/**
 * @param {string} selector
 * @returns {CanvasRenderingContext2D}
 */
function surface(selector) {
  const context = find(selector, HTMLCanvasElement).getContext("2d");
  if (!context) throw new Error("this browser has no canvas to draw on");
  return context;
}
