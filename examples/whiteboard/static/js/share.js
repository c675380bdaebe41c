import { make } from "./page.js";

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is in the clipboard now
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch (error) {
    console.info("the clipboard is not open to pages like this one, trying the old way", error);
    return copyTheOldWay(text);
  }
}

/** @param {string} text */
function copyTheOldWay(text) {
  const area = make("textarea", { class: "visually-hidden" });
  area.textContent = text;
  document.body.append(area);
  /** @type {HTMLTextAreaElement} */ (area).select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
