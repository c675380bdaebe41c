import { find } from "./page.js";

/** Something that unfolds under its button, and folds again at a click elsewhere or at Escape. */
export class Popup {
  #button;
  #panel;

  /**
   * @param {string} button
   * @param {string} panel
   */
  constructor(button, panel) {
    this.#button = find(button, HTMLElement);
    this.#panel = find(panel, HTMLElement);
    this.#button.addEventListener("click", () => this.#turn(this.#panel.hidden !== false));
    addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !this.#panel.contains(target) && !this.#button.contains(target)) this.#turn(false);
    }, true);
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#panel.hidden) return;
      this.#turn(false);
      this.#button.focus();
    });
    for (const item of this.#panel.querySelectorAll("[role=menuitem]")) {
      item.addEventListener("click", () => this.#turn(false));
    }
    this.#panel.addEventListener("keydown", (event) => this.#walk(event));
  }

  /** @param {boolean} open */
  #turn(open) {
    if (open === (this.#panel.hidden === false)) return;
    this.#panel.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
    if (open && this.#panel.role === "menu") find("[role=menuitem]", HTMLElement, this.#panel).focus();
  }

  /** @param {KeyboardEvent} event */
  #walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const items = /** @type {HTMLElement[]} */ ([...this.#panel.querySelectorAll("[role=menuitem]")]);
    if (!step || !items.length) return;
    event.preventDefault();
    event.stopPropagation();
    const index = items.findIndex((item) => item === document.activeElement);
    items[(index + step + items.length) % items.length].focus();
  }
}
