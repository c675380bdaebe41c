import { PALETTE, PEOPLE_COLOURS, paint } from "./palette.js";
import { find, make } from "./page.js";
import { initials } from "./profile.js";

const FACES_MOST = 4;

/** Shows who is here, and lets one change one's own name and colour. */
export class PeopleList {
  #people;
  #profile;
  #name = find("#profile-name", HTMLInputElement);

  /**
   * @param {import("./people.js").People} people
   * @param {import("./profile.js").Profile} profile
   * @param {import("./theme.js").Theme} theme
   */
  constructor(people, profile, theme) {
    this.#people = people;
    this.#profile = profile;
    this.#name.value = profile.shown.name;
    this.#name.addEventListener("change", () => profile.set({ name: this.#name.value }));
    find("#profile", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#name.blur();
    });
    for (const signal of [people.changed, profile.changed]) signal.listen(() => this.#show());
    theme.changed.listen(() => this.#show());
    this.#show();
  }

  #show() {
    const others = this.#people.list();
    const you = this.#profile.shown;
    this.#name.value = document.activeElement === this.#name ? this.#name.value : you.name;
    this.#face(find("#profile-face", HTMLElement), you);
    this.#showColours(you.colour);
    this.#showFaces(others);
    find("#people-list", HTMLUListElement).replaceChildren(
      ...others.map((person) => make("li", {}, this.#face(make("span"), person), make("span", {}, person.name))),
    );
    const count = others.length === 1 ? `${others[0].name} is here too` : `${others.length} others are here`;
    find("#people-count", HTMLElement).textContent = others.length ? count : "Nobody else is here";
  }

  /** @param {import("./people.js").Person[]} others */
  #showFaces(others) {
    const shown = others.length > FACES_MOST ? others.slice(0, FACES_MOST - 1) : others;
    const faces = [this.#profile.shown, ...shown].map((person) => this.#face(make("span"), person));
    if (others.length > shown.length) faces.push(make("span", { class: "face rest" }, `+${others.length - shown.length}`));
    find("#faces", HTMLElement).replaceChildren(...faces);
  }

  /** @param {string} chosen */
  #showColours(chosen) {
    const holder = find("#profile-colours", HTMLElement);
    const focused = holder.contains(document.activeElement);
    holder.replaceChildren(...PEOPLE_COLOURS.map((colour) => {
      const attributes = { type: "button", class: "swatch", role: "radio", "aria-label": PALETTE[colour].label };
      const button = make("button", { ...attributes, "aria-checked": String(colour === chosen) });
      paint(button, colour);
      button.style.setProperty("--swatch", "var(--person)");
      button.addEventListener("click", () => this.#profile.set({ colour }));
      return button;
    }));
    if (focused) find("[aria-checked=true]", HTMLElement, holder).focus();
  }

  /**
   * @param {HTMLElement} element
   * @param {{name: string, colour: string}} person
   */
  #face(element, person) {
    element.className = "face";
    element.textContent = initials(person.name);
    paint(element, person.colour);
    return element;
  }
}
