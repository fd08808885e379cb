// Text of any length: in pieces, of which the browser lays out only those that are to be seen.

import { html, memo, useRef } from "./html.js";

const LINES = 100;
const CHARACTERS = 8000;

/** The pieces of `text`, cut behind line ends where there are any; those of `before` are kept as far as they still hold. */
export function pieces(text, before = []) {
  const kept = [];
  let from = 0;
  for (const piece of before.slice(0, -1)) {
    if (!text.startsWith(piece, from)) break;
    kept.push(piece);
    from += piece.length;
  }
  while (from < text.length) {
    const to = cut(text, from);
    kept.push(text.slice(from, to));
    from = to;
  }
  return kept;
}

function cut(text, from) {
  let at = from;
  for (let line = 0; line < LINES; line += 1) {
    const end = text.indexOf("\n", at) + 1;
    if (end === 0) return Math.min(text.length, from + CHARACTERS);
    if (end - from > CHARACTERS) return line ? at : from + CHARACTERS;
    at = end;
  }
  return at;
}

const Piece = memo(({ text }) => html`<span class="piece">${text}</span>`);

/** `text` may grow. */
export function LongText({ text }) {
  const held = useRef([]);
  held.current = pieces(text, held.current);
  if (held.current.length < 2) return text;
  return held.current.map((piece, at) => html`<${Piece} key=${at} text=${piece} />`);
}
