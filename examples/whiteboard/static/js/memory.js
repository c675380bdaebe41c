/** What this browser remembers for us, where it lets us: private windows and full disks must not break the board. */

/**
 * @param {string} key
 * @returns {string | null}
 */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch (error) {
    console.warn(`cannot read ${key}`, error);
    return null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 * @returns {boolean} whether it will be there the next time
 */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch (error) {
    console.warn(`cannot keep ${key}`, error);
    return false;
  }
}

/** @param {string} key */
export function forget(key) {
  try {
    localStorage.removeItem(key);
  } catch (error) {
    console.warn(`cannot forget ${key}`, error);
  }
}

/**
 * @param {string} prefix
 * @returns {string[]} the keys that start with it, sorted
 */
export function rememberedUnder(prefix) {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix)).sort();
  } catch (error) {
    console.warn(`cannot list ${prefix}`, error);
    return [];
  }
}
