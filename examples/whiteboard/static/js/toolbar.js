import { find, make } from "./page.js";
import { PALETTE, shade } from "./palette.js";
import { joinRadios, showChosen } from "./radios.js";
import { WIDTHS } from "./tools.js";

const WIDTH_NAMES = ["Fine", "Medium", "Broad", "Bold"];
const WIDTH_DOTS = [4, 7, 11, 16];

/** The tools, colours and widths at the foot of the page, and undo and redo. */
export class Toolbar {
  #tools;
  #theme;
  #history;
  #toolButtons = find("#tools [role=radiogroup]", HTMLElement);
  #colours = find("#colours", HTMLElement);
  #widths = find("#widths", HTMLElement);
  #own = make("input", { type: "color", tabindex: "-1", "aria-label": "A colour of your own" });

  /**
   * @param {import("./tools.js").Tools} tools
   * @param {import("./theme.js").Theme} theme
   * @param {import("./history.js").History} history
   */
  constructor(tools, theme, history) {
    this.#tools = tools;
    this.#theme = theme;
    this.#history = history;
    this.#build();
    joinRadios(this.#toolButtons, ({ dataset }) => tools.take(/** @type {import("./tools.js").Tool} */ (dataset.tool)));
    joinRadios(this.#widths, ({ dataset }) => tools.widen(Number(dataset.width)));
    joinRadios(this.#colours, ({ dataset }) => (dataset.colour ? tools.dip(dataset.colour) : this.#own.click()));
    this.#own.addEventListener("input", () => tools.dip(/** @type {HTMLInputElement} */ (this.#own).value));
    this.#own.addEventListener("click", (event) => event.stopPropagation());
    find("#undo", HTMLButtonElement).addEventListener("click", () => history.undo());
    find("#redo", HTMLButtonElement).addEventListener("click", () => history.redo());
    for (const signal of [tools.changed, history.changed]) signal.listen(() => this.#show());
    theme.changed.listen(() => this.#show());
    this.#show();
  }

  #build() {
    const swatch = { type: "button", role: "radio" };
    this.#colours.append(...Object.entries(PALETTE).map(([colour, { label }], index) => make("button", {
      ...swatch, class: "swatch", "data-colour": colour, "aria-label": label, "data-tip": label, "data-key": String(index + 1),
    })));
    this.#colours.append(make("div", {
      class: "swatch own", role: "radio", "aria-label": "A colour of your own", "data-tip": "Your own", "data-key": "9",
    }, this.#own));
    this.#widths.append(...WIDTHS.map((width, index) => make("button", {
      ...swatch, class: "width", "data-width": String(width), style: `--dot: ${WIDTH_DOTS[index]}px`,
      "aria-label": WIDTH_NAMES[index], "data-tip": WIDTH_NAMES[index],
    })));
  }

  #show() {
    const { tool, colour, width } = this.#tools;
    showChosen(this.#toolButtons, (button) => button.dataset.tool === tool);
    showChosen(this.#widths, (button) => Number(button.dataset.width) === width);
    showChosen(this.#colours, (button) => (button.dataset.colour ?? "#") === (colour.startsWith("#") ? "#" : colour));
    for (const button of this.#colours.querySelectorAll("button")) {
      button.style.setProperty("--swatch", shade(button.dataset.colour ?? "", this.#theme.name));
    }
    if (colour.startsWith("#")) find(".own", HTMLElement, this.#colours).style.setProperty("--swatch", colour);
    find("#undo", HTMLButtonElement).disabled = !this.#history.canUndo;
    find("#redo", HTMLButtonElement).disabled = !this.#history.canRedo;
  }
}
