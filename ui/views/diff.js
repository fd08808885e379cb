// A patch, line by line: unified diffs and the patches that Codex's `apply_patch` takes.

import { html } from "./html.js";

const MOST_LINES = 2000;
const KINDS = [
  [/^(diff |index |--- |\+\+\+ |\*\*\* )/, "file"],
  [/^@@/, "place"],
  [/^\+/, "added"],
  [/^-/, "removed"],
];

/** Does the text look like a patch? */
export function isPatch(text) {
  return /^\*\*\* Begin Patch/m.test(text) || (/^@@ /m.test(text) && /^(---|\+\+\+|diff) /m.test(text));
}

/** How many lines come and go. */
export function changes(text) {
  const lines = text.split("\n").map(kindOf);
  return {
    added: lines.filter((kind) => kind === "added").length,
    removed: lines.filter((kind) => kind === "removed").length,
  };
}

function kindOf(line) {
  return KINDS.find(([pattern]) => pattern.test(line))?.[1] ?? "same";
}

const SAID = { added: "added: ", removed: "removed: " };

/** The patch, at most its first 2,000 lines. */
export function Diff({ text }) {
  const lines = text.replace(/\n$/, "").split("\n");
  return html`<div class="diff" role="group" aria-label="patch">
    ${lines.slice(0, MOST_LINES).map((line, at) => {
      const kind = kindOf(line);
      return html`<div key=${at} class=${`line ${kind}`}>${SAID[kind] && html`<span class="unseen">${SAID[kind]}</span>`}${line || " "}</div>`;
    })}
    ${lines.length > MOST_LINES && html`<div class="line place">… ${lines.length - MOST_LINES} more lines</div>`}
  </div>`;
}
