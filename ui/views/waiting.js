// What one said and the model has not heard yet: at the end of the run that is to hear it, or as a turn of its own.

import { WAITING } from "../state/waiting.js";
import { html, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Markdown } from "./markdown.js";

function Bubble({ text, hint, children }) {
  return html`<article class="asked waiting" aria-label="You, not heard yet">
    <div class="bubble">${text ? html`<${Markdown} text=${text} breaks=${true} />` : html`<p class="hint">A message</p>`}</div>
    ${hint && html`<p class="hint">${hint}${children}</p>`}
  </article>`;
}

/** What was said to a run at work. */
export function SaidMeanwhile({ run, waiting }) {
  useTopic(waiting, WAITING);
  return waiting
    .saidTo(run)
    .map(
      ({ id, text }) => html`<${Bubble} key=${id} text=${text} hint="Waiting: it is heard after the step at hand" />`,
    );
}

/** A run that has not begun: what it is asked, as far as this browser knows. */
export function Turn({ run, waiting, act }) {
  useTopic(waiting, WAITING);
  const turn = waiting.turn(run.id);
  const isQueued = turn === undefined || turn.isQueued;
  return html`<${Bubble} text=${turn?.text} hint=${isQueued && "Queued: it begins when the run before it has ended"}>
    <button type="button" class="quiet small" onClick=${() => act.stop(run)} aria-label="Take it back" title="Take it back"><${Icon} name="cross" size="14" /></button>
  <//>`;
}
