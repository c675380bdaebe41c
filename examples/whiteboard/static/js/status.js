import { find } from "./page.js";

const PATIENCE_MS = 500; // what takes no longer is not worth a word

/**
 * How things stand with the room, in a word.
 * @param {import("./session.js").Session} session
 */
export function showStatus(session) {
  const element = find("#status", HTMLElement);
  const text = find("span", HTMLElement, element);
  let later = 0;
  const show = () => {
    element.dataset.state = session.status === "ready" && session.waiting ? "saving" : session.status;
    const words = describe(session);
    if (text.textContent !== words) text.textContent = words;
  };
  session.changed.listen((status) => {
    clearTimeout(later);
    if (status === "ready" && !session.waiting) show();
    else later = setTimeout(show, PATIENCE_MS);
  });
  show();
}

/** @param {import("./session.js").Session} session */
function describe({ status, waiting }) {
  switch (status) {
    case "connecting": return "Connecting…";
    case "syncing": return "Fetching the board…";
    case "ready": return waiting ? "Saving…" : "Saved";
    case "offline": return waiting ? `Offline · ${waiting} to send` : "Reconnecting…";
  }
}
