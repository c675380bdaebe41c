import { Signal } from "./signal.js";

/** @typedef {{id: string, name: string, colour: string}} Person */

/** The others who are here. */
export class People {
  /** @type {Signal<void>} */
  changed = new Signal();
  /** @type {Map<string, Person>} */
  #here = new Map();

  /**
   * @param {Person[]} people
   * @param {string} you  who is not one of the others
   */
  replace(people, you) {
    this.#here = new Map(people.filter((person) => person.id !== you).map((person) => [person.id, person]));
    this.changed.emit();
  }

  /** @param {Person} person  who came, or has another name or colour now */
  put(person) {
    this.#here.set(person.id, person);
    this.changed.emit();
  }

  /** @param {string} id */
  remove(id) {
    if (this.#here.delete(id)) this.changed.emit();
  }

  /**
   * @param {string} id
   * @returns {Person | undefined}
   */
  get(id) {
    return this.#here.get(id);
  }

  /** @returns {Person[]} by name */
  list() {
    return [...this.#here.values()].sort((a, b) => a.name.localeCompare(b.name));
  }
}
