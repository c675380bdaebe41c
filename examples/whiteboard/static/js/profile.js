import { PEOPLE_COLOURS } from "./palette.js";
import { recall, remember } from "./memory.js";
import { Signal } from "./signal.js";

const NAMES = ["Wren", "Robin", "Finch", "Heron", "Swift", "Linnet", "Plover", "Kestrel", "Siskin", "Dunlin", "Curlew", "Martin"];

/** Who sits here: a name and a colour, remembered by this browser. */
export class Profile {
  /** @type {Signal<void>} */
  changed = new Signal();
  #name = recall("whiteboard/name") || pick(NAMES);
  #colour = recall("whiteboard/colour") || pick(PEOPLE_COLOURS);

  constructor() {
    this.#keep();
  }

  /** @returns {{name: string, colour: string}} */
  get shown() {
    return { name: this.#name, colour: this.#colour };
  }

  /** @param {{name?: string, colour?: string}} changes */
  set({ name = this.#name, colour = this.#colour }) {
    const trimmed = [...name.trim()].slice(0, 40).join("") || this.#name;
    if (trimmed === this.#name && colour === this.#colour) return;
    this.#name = trimmed;
    this.#colour = colour;
    this.#keep();
    this.changed.emit();
  }

  #keep() {
    remember("whiteboard/name", this.#name);
    remember("whiteboard/colour", this.#colour);
  }
}

/**
 * @param {string} name
 * @returns {string} one or two letters for it
 */
export function initials(name) {
  const words = name.split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toLocaleUpperCase()).join("");
}

/**
 * @template T
 * @param {T[]} choices
 * @returns {T}
 */
function pick(choices) {
  return choices[Math.floor(Math.random() * choices.length)];
}
