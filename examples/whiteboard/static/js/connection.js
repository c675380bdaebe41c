import { Signal } from "./signal.js";

const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 10_000;
const PING_EVERY_MS = 15_000;
const SILENCE_MOST_MS = 25_000;
const OPENING_MOST_MS = 10_000;
const SERVICE_RESTART = 1012;

/** @typedef {"connecting" | "open" | "waiting"} State */

/** One WebSocket after another: when one is lost the next is tried, sooner or later. */
export class Connection {
  /** @type {Signal<State>} */
  changed = new Signal();
  /** @type {Signal<any>} */
  received = new Signal();
  /** @type {State} */
  state = "waiting";

  #address;
  /** @type {WebSocket | null} */
  #socket = null;
  #failures = 0;
  #retry = 0;
  #heardAt = 0;

  /** @param {string} address */
  constructor(address) {
    this.#address = address;
    setInterval(() => this.#beat(), PING_EVERY_MS);
    addEventListener("online", () => this.#hurry());
    addEventListener("offline", () => this.reconnect());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  open() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    this.#turn("connecting");
    const tooLong = setTimeout(() => this.#lost(socket, 0), OPENING_MOST_MS);
    socket.onopen = () => {
      clearTimeout(tooLong);
      this.#heardAt = Date.now();
      if (socket === this.#socket) this.#turn("open");
    };
    socket.onmessage = (event) => this.#hear(socket, event.data);
    socket.onclose = (event) => {
      clearTimeout(tooLong);
      this.#lost(socket, event.code);
    };
  }

  /**
   * @param {object} message
   * @returns {boolean} whether it went out
   */
  send(message) {
    if (this.state !== "open" || !this.#socket) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** @returns {number} bytes that have not left this machine */
  get backlog() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Give up the present socket, for a new one. */
  reconnect() {
    if (this.#socket) this.#lost(this.#socket, 0);
  }

  /** The server speaks our language: the next failure is a first one. */
  settled() {
    this.#failures = 0;
  }

  /** @type {(socket: WebSocket, text: unknown) => void} */
  #hear(socket, text) {
    if (socket !== this.#socket) return;
    this.#heardAt = Date.now();
    if (typeof text === "string" && text !== "pong") this.received.emit(JSON.parse(text));
  }

  /** @type {(socket: WebSocket, code: number) => void} */
  #lost(socket, code) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.close();
    const most = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** this.#failures);
    const patience = code === SERVICE_RESTART && !this.#failures ? RETRY_FIRST_MS : most;
    this.#failures += 1;
    this.#retry = setTimeout(() => this.open(), patience * (0.5 + Math.random() / 2));
    this.#turn("waiting");
  }

  #hurry() {
    if (this.state === "waiting") this.open();
    else this.#beat();
  }

  /** The server answers a ping without waking the room. */
  #beat() {
    if (this.state !== "open" || !this.#socket) return;
    if (Date.now() - this.#heardAt > SILENCE_MOST_MS) this.reconnect();
    else this.#socket.send("ping");
  }

  /** @param {State} state */
  #turn(state) {
    this.state = state;
    this.changed.emit(state);
  }
}
