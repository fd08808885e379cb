// An earlier conversation that was summed up, so that the model has less to read: the summary, folded.

import { Card, Raw } from "./card.js";
import { html } from "./html.js";
import { Markdown } from "./markdown.js";
import { usePaced } from "./paced.js";
import { firstLine } from "./reasoning.js";

/** The summary as far as it can be read: the item's own text, or the provider's; "" where it is sealed. */
export function summaryOf({ text, data }) {
  if (text) return text;
  const given = [data?.summary, data?.content].flat();
  return given
    .map((one) => (typeof one === "string" ? one : one?.text))
    .filter(Boolean)
    .join("\n\n");
}

export function Compaction({ item, grows, times }) {
  const text = usePaced(summaryOf(item), grows);
  const isSealed = !text && !grows;
  return html`<${Card} icon="log" kind="compaction" title=${grows ? "Summing up the earlier conversation" : "Earlier conversation summed up"}
      detail=${grows ? "" : isSealed ? "sealed by the provider" : firstLine(text)} state=${grows ? "running" : "done"} times=${times} isOpen=${grows}>
    <p class="hint">From here on the model has this in place of what was said before. You still see all of it above.</p>
    ${text && html`<${Markdown} text=${text} grows=${grows} />`}
    ${isSealed && html`<p class="hint">The summary is not readable; it is kept, and sent back to the provider as it came.</p>`}
    <${Raw} value=${item.data} />
  <//>`;
}
