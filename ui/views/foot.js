// What stands under a run: how it stands or ended, what it took, and what can be done with it.

import { WHOLE } from "../state/run.js";
import { Raw } from "./card.js";
import { cost, count, length } from "./format.js";
import { html, memo, useEffect, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { CODES } from "./item.js";
import { SaidMeanwhile, Turn } from "./waiting.js";

const STATUS = {
  queued: "Queued",
  in_progress: "Working",
  requires_action: "Waits for an answer",
  complete: "",
  error: "Failed",
  aborted: "Stopped",
};
const REASONS = {
  length: "Its limit was reached",
  content_filter: "Held back by a content filter",
  refusal: "Refused",
  pause: "Paused",
  limit: "A limit was reached",
};

export const RunFoot = memo(({ run, act }) => {
  useTopic(run, WHOLE);
  const { reducer } = run;
  if (!reducer.start)
    return run.error
      ? html`<${Failure} error=${run.error} />`
      : html`<${Turn} run=${run} waiting=${act.waiting} act=${act} />`;
  const reason = run.ended && REASONS[reducer.finishReason];
  return html`<footer class="foot">
    ${reducer.error && html`<${Failure} error=${reducer.error} />`}
    ${run.connection === "failed" && run.error && html`<${Failure} error=${run.error} />`}
    <div class="line">
      ${!run.ended && html`<${Live} run=${run} />`}
      ${(reason || (run.ended && STATUS[reducer.status])) && html`<span class=${`outcome ${reducer.status}`}>${reason || STATUS[reducer.status]}</span>`}
      <${Numbers} run=${run} />
      <span class="ends">
        ${run.ended && act.retry && html`<button type="button" class="quiet small" data-retry onClick=${() => act.retry(run)} title="Ask again"><${Icon} name="retry" size="15" />Retry</button>`}
        <button type="button" class="quiet small" onClick=${() => act.inspect(run)} title="The run's event log"><${Icon} name="log" size="15" />Log</button>
      </span>
    </div>
    <${SaidMeanwhile} run=${run} waiting=${act.waiting} />
  </footer>`;
});

function Failure({ error }) {
  const { code, message, details } = error;
  return html`<div class="failure"><${Icon} name="warning" />
    <div><strong>${CODES[code] ?? "The run failed"}</strong><p>${message}</p>
    <p class="hint">${code}${error.retryable ? " · worth another try" : ""}</p>
    ${details && Object.keys(details).length > 0 && html`<${Raw} value=${details} label="Details" />`}</div>
  </div>`;
}

/** What a live run does now, in one word; and quietly, where it is cut off from here. */
function Live({ run }) {
  const words = run.connection === "waiting" ? "Reconnecting" : STATUS[run.reducer.status];
  return html`<span class=${`pulse ${run.connection} ${run.reducer.status}`} role="status">${words}<${Clock} since=${run.reducer.start.created_at} /></span>`;
}

function Clock({ since }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.floor((now - since) / 1000);
  return seconds > 0 && html`<span class="time" aria-hidden="true">${length(seconds * 1000).replace(".0", "")}</span>`;
}

function Numbers({ run }) {
  const { reducer } = run;
  const { usage, start, steps } = reducer;
  const cached = usage?.cached_tokens;
  const model = steps.at(-1) ?? start;
  const facts = [
    html`<span title="model">${model.provider_id}/${model.model_id}</span>`,
    usage &&
      html`<span title=${cached ? `${count(cached)} of them cached` : "tokens in and out"}>${count(usage.prompt_tokens)} in · ${count(usage.completion_tokens)} out${
        usage.reasoning_tokens ? ` (${count(usage.reasoning_tokens)} thinking)` : ""
      }</span>`,
    cached > 0 && html`<span>${count(cached)} cached</span>`,
    usage?.cost_usd !== undefined && html`<span title="cost">${cost(usage.cost_usd)}</span>`,
    steps.length > 1 && html`<span>${steps.length} steps</span>`,
    run.ended &&
      reducer.completedAt &&
      html`<span title="how long it took">${length(Math.max(0, reducer.completedAt - start.created_at))}</span>`,
  ];
  return html`<span class="facts">${facts.filter(Boolean).map((fact, at) => html`<span key=${at} class="fact">${fact}</span>`)}</span>`;
}
