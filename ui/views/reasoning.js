// What the model thought, where its provider shows it.

import { Card, Raw } from "./card.js";
import { html } from "./html.js";
import { Markdown } from "./markdown.js";
import { usePaced } from "./paced.js";

export function Reasoning({ item, grows, times }) {
  const text = usePaced(item.content || (item.summary_parts ?? []).join("\n\n"), grows);
  const isSealed = !text && !grows;
  const title = grows ? "Thinking" : isSealed ? "Thought, sealed by the provider" : "Thought";
  return html`<${Card} icon="thought" kind="reasoning" title=${title} state=${grows ? "running" : "done"} times=${times}
      detail=${grows || isSealed ? "" : firstLine(text)} isOpen=${grows}>
    ${text && html`<${Markdown} text=${text} grows=${grows} />`}
    ${isSealed && html`<p class="hint">Nothing of it is readable; it is kept, and sent back to the provider as it came.</p>`}
    ${item.opaque && html`<${Raw} value=${item.opaque} label=${`Sealed: ${item.opaque.kind}`} />`}
  <//>`;
}

/** The first line, without Markdown's signs, as a card's head has it. */
export const firstLine = (text) =>
  text
    .replace(/[*_#`]/g, "")
    .trim()
    .split("\n")[0]
    .slice(0, 120);
