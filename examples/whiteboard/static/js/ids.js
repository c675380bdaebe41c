/** Random ids: twenty letters and digits, which nobody else will draw. */

const LETTERS = "0123456789abcdefghijklmnopqrstuv";

/** @returns {string} */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => LETTERS[byte % 32]).join("");
}
