import { PALETTE } from "./palette.js";

const PAN = 60;

/**
 * The shortcuts.
 * @param {{
 *   tools: import("./tools.js").Tools, history: import("./history.js").History, theme: import("./theme.js").Theme,
 *   viewport: import("./viewport.js").Viewport, pointer: import("./pointer.js").Pointer,
 *   fit: () => void, help: () => void,
 * }} parts
 */
export function listenToKeys({ tools, history, theme, viewport, pointer, fit, help }) {
  const own = () => document.querySelector(".own")?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  /** @type {Record<string, () => void>} */
  const plain = {
    p: () => tools.take("pen"),
    m: () => tools.take("marker"),
    e: () => tools.take("eraser"),
    h: () => tools.take("hand"),
    "[": () => tools.step(-1),
    "]": () => tools.step(1),
    "+": () => viewport.zoom(1.25),
    "=": () => viewport.zoom(1.25),
    "-": () => viewport.zoom(0.8),
    0: () => viewport.zoom(1 / viewport.scale),
    f: fit,
    d: () => theme.toggle(),
    "?": help,
    9: own,
    arrowleft: () => viewport.pan(PAN, 0),
    arrowright: () => viewport.pan(-PAN, 0),
    arrowup: () => viewport.pan(0, PAN),
    arrowdown: () => viewport.pan(0, -PAN),
  };
  Object.keys(PALETTE).forEach((colour, index) => {
    plain[index + 1] = () => tools.dip(colour);
  });
  /** @type {Record<string, () => void>} */
  const control = { z: () => history.undo(), "shift z": () => history.redo(), y: () => history.redo() };

  addEventListener("keydown", (event) => {
    if (isTaken(event)) return;
    const key = event.key.toLowerCase();
    const held = event.ctrlKey || event.metaKey;
    if (key === " " && !held) return takeSpace(event, pointer);
    const action = held ? control[event.shiftKey ? `shift ${key}` : key] : plain[key];
    if (!action || event.altKey) return;
    event.preventDefault();
    action();
  });
  addEventListener("keyup", (event) => event.key === " " && pointer.holdSpace(false));
}

/** @type {(event: KeyboardEvent, pointer: import("./pointer.js").Pointer) => void} */
function takeSpace(event, pointer) {
  if (event.target instanceof HTMLButtonElement) return;
  event.preventDefault();
  pointer.holdSpace(true);
}

/** @param {KeyboardEvent} event */
function isTaken({ target, defaultPrevented }) {
  const typing = target instanceof HTMLInputElement && target.type !== "color";
  return defaultPrevented || typing || document.querySelector("dialog[open]") !== null;
}
