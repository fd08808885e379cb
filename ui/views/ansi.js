// What programs write to a terminal: colours become colours, all other control sequences are left out.

import { html, useMemo } from "./html.js";
import { LongText } from "./long_text.js";

const SEQUENCE =
  /\x1b\[([0-9;:?]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][0-9A-Za-z]|\x1b[=>78cDEHMNOPZ]|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]/g;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const STYLES = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const ENDS = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };

/** Does the text hold anything that a terminal would not print? */
export const isTerminal = (text) => text.includes("\x1b[");

/** The text in pieces {text, classes}; lines that were written over with a carriage return show what was last there. */
export function spans(text) {
  const pieces = [];
  const style = new Map(); // what -> class
  let from = 0;
  const push = (to) => {
    const plain = overwritten(text.slice(from, to));
    if (plain) pieces.push({ text: plain, classes: [...style.values()].join(" ") });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(match.index);
    from = match.index + match[0].length;
    if (match[2] === "m") restyle(style, match[1].split(/[;:]/).map(Number));
  }
  push(text.length);
  return pieces;
}

const overwritten = (text) =>
  text
    .replace(/\r\n/g, "\n")
    .replace(/[^\n\r]*\r(?=[^\n])/g, "")
    .replace(/\r/g, "");

function restyle(style, codes) {
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 38 || code === 48)
      at += codes[at + 1] === 5 ? 2 : 4; // a palette's colour: not ours
    else if (code === 0) style.clear();
    else set(style, code);
  }
}

function set(style, code) {
  const begun = STYLES[code];
  if (begun) style.set(begun, `ansi-${begun}`);
  for (const ended of ENDS[code] ?? []) style.delete(ended);
  paint(style, code);
}

function paint(style, code) {
  if (code === 39) style.delete("colour");
  else if (code === 49) style.delete("ground");
  else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.set("colour", `ansi-${NAMES[code % 10]}`);
  else if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107))
    style.set("ground", `ansi-on-${NAMES[code % 10]}`);
}

/** The text as a terminal would show it. */
export function Terminal({ text }) {
  const pieces = useMemo(() => spans(text), [text]);
  return pieces.map(
    ({ text: plain, classes }, at) => html`<span key=${at} class=${classes}><${LongText} text=${plain} /></span>`,
  );
}
