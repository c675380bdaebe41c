import { STEP, boxOf, overlap, segmentsMeet } from "./geometry.js";

/**
 * One line on the board. `order` is its place from below; 0 until the server has given it one, and then it is on top.
 * @typedef {{id: string, tool: "pen" | "marker", colour: string, width: number, points: number[], order?: number}} Stroke
 */

/** The most points of one stroke; a longer line goes on as another. */
export const POINTS_MAX = 1500;

const MARKER_FACTOR = 3.5;
const EVEN = 0.5; // the pressure of what cannot feel any

/** @type {WeakMap<Stroke, import("./geometry.js").Box>} */
const boxes = new WeakMap();
/** @type {WeakMap<Stroke, {path: Path2D, filled: boolean}>} */
const paths = new WeakMap();

/** @param {Stroke} stroke */
export function lineWidth(stroke) {
  return stroke.tool === "marker" ? stroke.width * MARKER_FACTOR : stroke.width;
}

/** @param {Stroke} stroke */
export function box(stroke) {
  let known = boxes.get(stroke);
  if (!known) {
    known = boxOf(stroke.points, lineWidth(stroke));
    boxes.set(stroke, known);
  }
  return known;
}

/**
 * Whether an eraser of this radius that moves from a to b touches the stroke.
 * @type {(stroke: Stroke, a: number[], b: number[], radius: number) => boolean}
 */
export function touches(stroke, a, b, radius) {
  if (!overlap(box(stroke), boxOf([...a, 0, ...b, 0], radius))) return false;
  const { points } = stroke;
  const reach = radius + lineWidth(stroke) / 2;
  let before = points.slice(0, 2);
  for (let i = 0; i < points.length; i += STEP) {
    const here = [points[i], points[i + 1]];
    if (segmentsMeet(a, b, before, here, reach)) return true;
    before = here;
  }
  return false;
}

/**
 * Draw it. Finished strokes do not change, so their shape is kept; `growing` ones are measured anew each time.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke} stroke
 * @param {string} colour
 * @param {{growing?: boolean, alpha?: number}} [how]
 */
export function drawStroke(context, stroke, colour, { growing = false, alpha = 1 } = {}) {
  let shape = growing ? undefined : paths.get(stroke);
  if (!shape) {
    shape = shapeOf(stroke);
    if (!growing) paths.set(stroke, shape);
  }
  context.globalAlpha = stroke.tool === "marker" ? alpha * 0.38 : alpha;
  if (shape.filled) {
    context.fillStyle = colour;
    context.fill(shape.path);
  } else {
    context.strokeStyle = colour;
    context.lineWidth = lineWidth(stroke);
    context.stroke(shape.path);
  }
  context.globalAlpha = 1;
}

/** @param {Stroke} stroke */
function shapeOf(stroke) {
  const felt = stroke.tool === "pen" && stroke.points.some((number, i) => i % STEP === 2 && number !== EVEN);
  return felt ? { path: ribbon(stroke), filled: true } : { path: curve(stroke.points), filled: false };
}

/**
 * A smooth line through the middles of the points.
 * @param {number[]} points
 */
function curve(points) {
  const path = new Path2D();
  const last = points.length - STEP;
  path.moveTo(points[0], points[1]);
  for (let i = STEP; i < last; i += STEP) {
    const [x, y] = [points[i], points[i + 1]];
    path.quadraticCurveTo(x, y, (x + points[i + STEP]) / 2, (y + points[i + STEP + 1]) / 2);
  }
  path.lineTo(points[last] + 0.01, points[last + 1]); // not quite nothing, so that a single point is a dot
  return path;
}

/**
 * A line as wide as the pen was pressed: discs, and the slopes between them, all turning the same way so that they unite.
 * @param {Stroke} stroke
 */
function ribbon(stroke) {
  const path = new Path2D();
  /** @type {number[] | null} */
  let before = null;
  for (const [x, y, pressure] of smoothed(stroke.points)) {
    const r = (stroke.width / 2) * (0.3 + 1.4 * pressure);
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
    if (before) slope(path, before, [x, y, r]);
    before = [x, y, r];
  }
  return path;
}

/** @type {(path: Path2D, a: number[], b: number[]) => void} */
function slope(path, [ax, ay, ar], [bx, by, br]) {
  const length = Math.hypot(bx - ax, by - ay);
  if (!length) return;
  const nx = (by - ay) / length;
  const ny = (ax - bx) / length;
  path.moveTo(ax + nx * ar, ay + ny * ar);
  path.lineTo(bx + nx * br, by + ny * br);
  path.lineTo(bx - nx * br, by - ny * br);
  path.lineTo(ax - nx * ar, ay - ny * ar);
  path.closePath();
}

/**
 * The same curve as `curve` draws, as points close to one another.
 * @param {number[]} points
 * @returns {Generator<number[]>}
 */
function* smoothed(points) {
  const last = points.length - STEP;
  let from = points.slice(0, STEP);
  yield from;
  for (let i = STEP; i < last; i += STEP) {
    const bend = points.slice(i, i + STEP);
    const to = bend.map((number, axis) => (number + points[i + STEP + axis]) / 2);
    const parts = Math.min(12, Math.max(2, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / 3)));
    for (let part = 1; part <= parts; part += 1) {
      const t = part / parts;
      yield from.map((a, axis) => (1 - t) ** 2 * a + 2 * t * (1 - t) * bend[axis] + t * t * to[axis]);
    }
    from = to;
  }
  yield points.slice(last, last + STEP);
}
