import { find, make } from "./page.js";

const SHOWN_MS = 4_000;
const LEAVING_MS = 300;
const MOST = 3;

/** @param {string} text  something that people should read, for a moment */
export function toast(text) {
  const holder = find("#toasts", HTMLElement);
  const same = [...holder.children].find((child) => child.textContent === text);
  same?.remove();
  while (holder.children.length >= MOST) holder.firstElementChild?.remove();
  const element = make("p", { class: "toast" }, text);
  holder.append(element);
  setTimeout(() => element.setAttribute("data-leaving", ""), SHOWN_MS);
  setTimeout(() => element.remove(), SHOWN_MS + LEAVING_MS);
}
