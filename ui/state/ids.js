// Ids that a client chooses: a submit with one of its own can be sent again, and is still one run.

/** `kind` and 32 random hexadecimal digits. */
export function newId(kind) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `${kind}_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
