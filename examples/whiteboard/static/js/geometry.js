/** Points, boxes and distances. A list of points is flat: x, y, pressure, x, y, pressure, and so on. */

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

export const STEP = 3;

/**
 * @param {number[]} points
 * @param {number} margin
 * @returns {Box}
 */
export function boxOf(points, margin) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let i = 0; i < points.length; i += STEP) {
    box.left = Math.min(box.left, points[i]);
    box.right = Math.max(box.right, points[i]);
    box.top = Math.min(box.top, points[i + 1]);
    box.bottom = Math.max(box.bottom, points[i + 1]);
  }
  return { left: box.left - margin, top: box.top - margin, right: box.right + margin, bottom: box.bottom + margin };
}

/**
 * @param {Box} a
 * @param {Box} b
 */
export function overlap(a, b) {
  return a.left <= b.right && b.left <= a.right && a.top <= b.bottom && b.top <= a.bottom;
}

/**
 * @param {Box[]} boxes
 * @returns {Box | null}
 */
export function unionOf(boxes) {
  if (!boxes.length) return null;
  const union = { ...boxes[0] };
  for (const box of boxes) {
    union.left = Math.min(union.left, box.left);
    union.top = Math.min(union.top, box.top);
    union.right = Math.max(union.right, box.right);
    union.bottom = Math.max(union.bottom, box.bottom);
  }
  return union;
}

/** Distance of the point p to the segment from a to b, squared. */
/** @type {(px: number, py: number, ax: number, ay: number, bx: number, by: number) => number} */
export function distanceSquared(px, py, ax, ay, bx, by) {
  const dx = bx - ax;
  const dy = by - ay;
  const length = dx * dx + dy * dy;
  const t = length ? Math.max(0, Math.min(1, ((px - ax) * dx + (py - ay) * dy) / length)) : 0;
  return (px - ax - t * dx) ** 2 + (py - ay - t * dy) ** 2;
}

/** @type {(ax: number, ay: number, bx: number, by: number, cx: number, cy: number) => number} */
const side = (ax, ay, bx, by, cx, cy) => Math.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax));

/**
 * Whether the segments a-b and c-d come closer to each other than `reach`.
 * @type {(a: number[], b: number[], c: number[], d: number[], reach: number) => boolean}
 */
export function segmentsMeet([ax, ay], [bx, by], [cx, cy], [dx, dy], reach) {
  const crossing = side(ax, ay, bx, by, cx, cy) * side(ax, ay, bx, by, dx, dy) < 0
    && side(cx, cy, dx, dy, ax, ay) * side(cx, cy, dx, dy, bx, by) < 0;
  return crossing || Math.min(
    distanceSquared(ax, ay, cx, cy, dx, dy),
    distanceSquared(bx, by, cx, cy, dx, dy),
    distanceSquared(cx, cy, ax, ay, bx, by),
    distanceSquared(dx, dy, ax, ay, bx, by),
  ) <= reach * reach;
}

/**
 * The points without those that a line through the others would pass within `tolerance` of anyway
 * (Ramer, Douglas and Peucker), rounded to hundredths.
 * @param {number[]} points
 * @param {number} tolerance
 * @returns {number[]}
 */
export function simplify(points, tolerance) {
  const last = points.length - STEP;
  const kept = new Set([0, last]);
  const open = [[0, last]];
  for (let span = open.pop(); span; span = open.pop()) {
    const [from, to] = span;
    const middle = farthest(points, from, to, tolerance);
    if (middle > 0) {
      kept.add(middle);
      open.push([from, middle], [middle, to]);
    }
  }
  const order = [...kept].sort((a, b) => a - b);
  return order.flatMap((i) => points.slice(i, i + STEP)).map((number) => Math.round(number * 100) / 100);
}

/** @type {(points: number[], from: number, to: number, tolerance: number) => number} */
function farthest(points, from, to, tolerance) {
  let found = -1;
  let most = tolerance * tolerance;
  for (let i = from + STEP; i < to; i += STEP) {
    const off = distanceSquared(points[i], points[i + 1], points[from], points[from + 1], points[to], points[to + 1]);
    const pressure = (points[i + 2] - (points[from + 2] + points[to + 2]) / 2) * tolerance * 8;
    const distance = Math.max(off, pressure * pressure);
    if (distance > most) {
      most = distance;
      found = i;
    }
  }
  return found;
}
