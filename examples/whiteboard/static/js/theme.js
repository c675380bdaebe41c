import { recall, remember } from "./memory.js";
import { Signal } from "./signal.js";

/** Light or dark: as the system says, until somebody says otherwise here. */
export class Theme {
  /** @type {Signal<"light" | "dark">} */
  changed = new Signal();
  #system = matchMedia("(prefers-color-scheme: dark)");

  constructor() {
    this.#system.addEventListener("change", () => {
      if (!recall("whiteboard/theme")) this.#show(this.#system.matches ? "dark" : "light");
    });
    this.#show(this.name);
  }

  /** @returns {"light" | "dark"} */
  get name() {
    return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  }

  toggle() {
    const name = this.name === "dark" ? "light" : "dark";
    remember("whiteboard/theme", name);
    this.#show(name);
  }

  /** @param {"light" | "dark"} name */
  #show(name) {
    document.documentElement.dataset.theme = name;
    const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim();
    document.querySelector("meta[name=theme-color]")?.setAttribute("content", paper);
    this.changed.emit(name);
  }
}
