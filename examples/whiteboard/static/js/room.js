/** Which board this page shows: `/?room=NAME`. */

/** @returns {string} */
export function roomName() {
  return new URLSearchParams(location.search).get("room")?.trim() || "default";
}

/**
 * @param {string} room
 * @returns {string} the address that leads others here
 */
export function roomLink(room) {
  return `${location.origin}${location.pathname}?room=${encodeURIComponent(room)}`;
}

/**
 * @param {string} room
 * @param {string} client
 * @returns {string}
 */
export function roomSocket(room, client) {
  const query = new URLSearchParams({ room, client });
  return `${location.origin.replace(/^http/, "ws")}/ws?${query}`;
}
