import { unionOf } from "./geometry.js";
import { make } from "./page.js";
import { shade } from "./palette.js";
import { box, drawStroke } from "./stroke.js";

const MARGIN = 32;
const SIDE_MOST = 8_000;

/**
 * The whole board as a picture in the browser's downloads.
 * @param {readonly import("./stroke.js").Stroke[]} strokes
 * @param {"light" | "dark"} theme
 * @param {string} name
 * @returns {Promise<void>}
 */
export async function savePicture(strokes, theme, name) {
  const canvas = drawPicture(strokes, theme);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!(blob instanceof Blob)) throw new Error("this browser could not make a picture of that size");
  const link = /** @type {HTMLAnchorElement} */ (make("a", { download: `${name}.png` }));
  link.href = URL.createObjectURL(blob);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** @type {(strokes: readonly import("./stroke.js").Stroke[], theme: "light" | "dark") => HTMLCanvasElement} */
function drawPicture(strokes, theme) {
  const { left, top, right, bottom } = unionOf(strokes.map(box)) ?? { left: 0, top: 0, right: 800, bottom: 600 };
  const [width, height] = [right - left + 2 * MARGIN, bottom - top + 2 * MARGIN];
  const scale = Math.min(2, SIDE_MOST / Math.max(width, height));
  const canvas = /** @type {HTMLCanvasElement} */ (make("canvas"));
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(height * scale);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser has no canvas to draw on");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(scale, 0, 0, scale, (MARGIN - left) * scale, (MARGIN - top) * scale);
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const stroke of strokes) drawStroke(context, stroke, shade(stroke.colour, theme));
  return canvas;
}
