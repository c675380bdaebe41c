/**
 * Colours by name, so that ink which is black by day is white by night. A colour of one's own is `#rrggbb` in both.
 * @type {Record<string, {label: string, light: string, dark: string}>}
 */
export const PALETTE = {
  ink: { label: "Ink", light: "#26282d", dark: "#e8e9ec" },
  grey: { label: "Grey", light: "#8b8e96", dark: "#868a94" },
  red: { label: "Red", light: "#cf4640", dark: "#f0837b" },
  orange: { label: "Orange", light: "#dd7a26", dark: "#f2a25c" },
  yellow: { label: "Yellow", light: "#e2b32e", dark: "#edcb62" },
  green: { label: "Green", light: "#3f9259", dark: "#74c78f" },
  blue: { label: "Blue", light: "#2f75b5", dark: "#7db8ea" },
  violet: { label: "Violet", light: "#7d58bd", dark: "#b99af0" },
};

/** The colours that people may have. */
export const PEOPLE_COLOURS = ["red", "orange", "green", "blue", "violet", "grey"];

/**
 * @param {string} colour
 * @param {"light" | "dark"} theme
 * @returns {string} a CSS colour
 */
export function shade(colour, theme) {
  return colour.startsWith("#") ? colour : (PALETTE[colour] ?? PALETTE.ink)[theme];
}

/**
 * Give an element the colour of a person, and a colour for text on it.
 * @param {HTMLElement} element
 * @param {string} colour
 */
export function paint(element, colour) {
  const dark = document.documentElement.dataset.theme === "dark";
  element.style.setProperty("--person", shade(colour, dark ? "dark" : "light"));
  element.style.setProperty("--person-text", dark ? "#17191d" : "#fff");
}
