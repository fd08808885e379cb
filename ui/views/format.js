// Numbers and times as people read them.

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "narrow" });
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago `ms` was, as in "5 min ago". */
export function ago(ms, now = Date.now()) {
  const seconds = (ms - now) / 1000;
  const known = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  return known ? relative.format(Math.trunc(seconds / known[1]), known[0]) : "now";
}

/** A length of time: 340 ms, 4.2 s, 3 min 20 s. */
export function length(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60
    ? `${minutes} min ${Math.floor(ms / 1000) % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A count with separators. */
export const count = (number) => number.toLocaleString();

/** A size in bytes (or characters, which are nearly the same here). */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1_048_576 ? `${(bytes / 1024).toFixed(0)} KB` : `${(bytes / 1_048_576).toFixed(1)} MB`;
}

/** A price in dollars: small ones with as many digits as they need. */
export function cost(dollars) {
  return `$${dollars < 0.01 ? dollars.toPrecision(2) : dollars.toFixed(dollars < 1 ? 3 : 2)}`;
}

export const clock = (ms) => new Date(ms).toLocaleString();
