// The changes made here that the server has not acknowledged, kept in the browser until it has.
//
//  (1) Changes carry the id of the page that made them and a number. The server makes each number once, in order.
//  (2) So sending one again is harmless, whoever sends it: after a reload, or when a tab died, the next page of this
//      room that opens takes over what it finds and sends it under the id of the page that made it.

import { forget, recall, remember, rememberedUnder } from "./memory.js";

/** @typedef {import("./board.js").Change} Change */
/** @typedef {{client: string, seq: number, change: Change}} Entry */

export class Outbox {
  /** @type {Entry[]} */
  entries = [];
  #seq = 0;
  #room;
  #client;

  /**
   * @param {string} room
   * @param {string} client  the id of this page
   */
  constructor(room, client) {
    this.#room = room;
    this.#client = client;
    for (const key of rememberedUnder(this.#key())) {
      const entry = readEntry(recall(key));
      if (entry) this.entries.push(entry);
      else forget(key);
    }
  }

  /**
   * @param {Change} change
   * @returns {{entry: Entry, kept: boolean}} `kept`: whether it would survive the end of this page
   */
  add(change) {
    this.#seq += 1;
    const entry = { client: this.#client, seq: this.#seq, change };
    this.entries.push(entry);
    return { entry, kept: remember(this.#key(entry), JSON.stringify(entry)) };
  }

  /**
   * @param {string} client
   * @param {number} seq
   * @returns {Entry | undefined} the entry that is done with
   */
  take(client, seq) {
    const index = this.entries.findIndex((entry) => entry.client === client && entry.seq === seq);
    if (index < 0) return undefined;
    const [entry] = this.entries.splice(index, 1);
    forget(this.#key(entry));
    return entry;
  }

  /** @param {Entry} [entry] */
  #key(entry) {
    const place = entry ? `${entry.client}/${String(entry.seq).padStart(9, "0")}` : "";
    return `whiteboard/pending/${encodeURIComponent(this.#room)}/${place}`;
  }
}

/**
 * @param {string | null} text
 * @returns {Entry | null}
 */
function readEntry(text) {
  try {
    const entry = JSON.parse(text ?? "null");
    return entry?.client && entry?.seq && entry?.change?.kind ? entry : null;
  } catch (error) {
    console.warn("a change that was kept here cannot be read", error);
    return null;
  }
}
