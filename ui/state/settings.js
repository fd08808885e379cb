// What the page remembers, in this browser only.

import { Channel } from "./frame.js";

const PREFIX = "tailrace.";

/** Defaults of everything that is remembered; `url` is where the page itself came from. */
const DEFAULTS = {
  url: "",
  key: "",
  theme: "system", // or "light", "dark"
  model: "",
  agent: "",
  options: {}, // of a submit: instructions, reasoning_effort, …
  sidebar: true,
};

/** Read and write by name; a change is told under its name. */
export class Settings extends Channel {
  #values = { ...DEFAULTS };

  constructor(storage = globalThis.localStorage) {
    super();
    this.storage = storage;
    for (const name of Object.keys(DEFAULTS)) {
      const kept = read(storage, PREFIX + name);
      if (typeof kept === typeof DEFAULTS[name] && kept !== null) this.#values[name] = kept;
    }
  }

  get(name) {
    return this.#values[name];
  }

  set(name, value) {
    this.#values[name] = value;
    try {
      this.storage.setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      // Private windows may refuse: then it holds as long as the page does.
    }
    this.changed(name);
  }
}

function read(storage, name) {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
}
