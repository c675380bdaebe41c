import { find, make } from "./page.js";
import { paint } from "./palette.js";

/** @typedef {{element: HTMLElement, x: number, y: number, toX: number, toY: number, movedAt: number}} Cursor */

const GLIDE_MS = 45; // two thirds of the way to where it was last seen take this long
const QUIET_MS = 6_000;

/** The cursors of the others. They arrive in steps and are shown gliding. */
export class Cursors {
  #layer = find("#cursors", HTMLElement);
  #viewport;
  /** @type {Map<string, Cursor>} */
  #cursors = new Map();
  #frame = 0;
  #drawnAt = 0;

  /**
   * @param {import("./viewport.js").Viewport} viewport
   * @param {import("./people.js").People} people
   * @param {import("./theme.js").Theme} theme
   */
  constructor(viewport, people, theme) {
    this.#viewport = viewport;
    viewport.changed.listen(() => this.#wake());
    const dress = () => {
      for (const person of people.list()) this.#dress(person);
    };
    people.changed.listen(dress);
    theme.changed.listen(dress);
    setInterval(() => this.#hush(), 1_000);
  }

  /**
   * @param {import("./people.js").Person} person
   * @param {number} x
   * @param {number} y
   */
  move(person, x, y) {
    const cursor = this.#cursors.get(person.id) ?? this.#appear(person, x, y);
    cursor.toX = x;
    cursor.toY = y;
    cursor.movedAt = performance.now();
    cursor.element.toggleAttribute("data-quiet", false);
    this.#wake();
  }

  /** @param {string} id */
  remove(id) {
    this.#cursors.get(id)?.element.remove();
    this.#cursors.delete(id);
  }

  clear() {
    for (const id of [...this.#cursors.keys()]) this.remove(id);
  }

  /** @returns {{x: number, y: number}[]} where they are shown, on the board */
  places() {
    return [...this.#cursors.values()].map(({ x, y }) => ({ x, y }));
  }

  /** @type {(person: import("./people.js").Person, x: number, y: number) => Cursor} */
  #appear(person, x, y) {
    const element = make("div", { class: "cursor" });
    element.innerHTML = '<svg viewBox="0 0 20 20"><path d="M3 2.5l4.7 14 2.6-6 6-2.6z"/></svg><span></span>';
    const cursor = { element, x, y, toX: x, toY: y, movedAt: 0 };
    this.#cursors.set(person.id, cursor);
    this.#dress(person);
    this.#layer.append(element);
    return cursor;
  }

  /** @param {import("./people.js").Person} person */
  #dress(person) {
    const element = this.#cursors.get(person.id)?.element;
    if (!element) return;
    paint(element, person.colour);
    find("span", HTMLElement, element).textContent = person.name;
  }

  #wake() {
    if (this.#frame || !this.#cursors.size) return;
    this.#drawnAt = performance.now();
    this.#frame = requestAnimationFrame((now) => this.#glide(now));
  }

  /** @param {number} now */
  #glide(now) {
    const share = 1 - Math.exp(-Math.max(4, now - this.#drawnAt) / GLIDE_MS);
    const near = 0.2 / this.#viewport.scale;
    let moving = false;
    this.#drawnAt = now;
    for (const cursor of this.#cursors.values()) {
      const arrived = Math.hypot(cursor.toX - cursor.x, cursor.toY - cursor.y) < near;
      cursor.x = arrived ? cursor.toX : cursor.x + (cursor.toX - cursor.x) * share;
      cursor.y = arrived ? cursor.toY : cursor.y + (cursor.toY - cursor.y) * share;
      moving ||= !arrived;
      const [x, y] = this.#viewport.toScreen(cursor.x, cursor.y);
      cursor.element.style.transform = `translate3d(${x - 4}px, ${y - 3}px, 0)`;
    }
    this.#frame = moving ? requestAnimationFrame((next) => this.#glide(next)) : 0;
  }

  #hush() {
    const now = performance.now();
    for (const { element, movedAt } of this.#cursors.values()) {
      element.toggleAttribute("data-quiet", now - movedAt > QUIET_MS);
    }
  }
}
