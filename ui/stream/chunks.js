// The text of a body as it comes, given up when it has been silent for too long.

const LOOK_MS = 1000;

/** The peer has said nothing, not even a comment, for so long that the connection must be dead. */
export class Silent extends Error {
  constructor(ms) {
    super(`nothing came for ${Math.round(ms / 1000)} s`);
    this.name = "Silent";
  }
}

/**
 * The pieces of a fetch Response's body. Throws Silent after `idleMs` without a byte.
 *
 * By the wall clock, and looked at every second: a laptop that slept through the limit notices as it wakes.
 */
export async function* chunks(response, idleMs) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let heard = Date.now();
  let silent = () => {};
  const silence = new Promise((_resolve, reject) => {
    silent = () => reject(new Silent(idleMs));
  });
  silence.catch(() => {}); // where nobody waits for it any more
  const watch = setInterval(() => Date.now() - heard > idleMs && silent(), LOOK_MS);
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), silence]);
      if (done) return;
      heard = Date.now();
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    clearInterval(watch);
    reader.cancel().catch(() => {});
  }
}
