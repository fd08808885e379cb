// The frame that tool calls, reasoning and a provider's own items share.

import { length } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { Icon } from "./icons.js";

/** `state`: "running", "done", "failed", "waiting", "cancelled"; `body` is drawn while the card is open. */
export function Card({ icon, title, detail, state, times, isOpen = true, kind = "", children }) {
  const [chosen, choose] = useState(null);
  const shown = chosen ?? isOpen;
  return html`<section class=${`card ${kind} ${state}`} aria-label=${title}>
    <button type="button" class="head" aria-expanded=${shown} onClick=${() => choose(!shown)}>
      <span class="badge"><${Icon} name=${icon} size="16" /></span>
      <span class="title">${title}</span>
      ${detail && html`<span class="detail">${detail}</span>`}
      <span class="state">${STATES[state]}${times && html`<${Duration} times=${times} isRunning=${state === "running"} />`}</span>
      <span class="turn"><${Icon} name="chevron" size="16" /></span>
    </button>
    ${shown && html`<div class="body">${children}</div>`}
  </section>`;
}

const STATES = { running: "Working", done: "", failed: "Failed", waiting: "Waiting", cancelled: "Stopped" };

/** How long it took; counts while it runs. */
function Duration({ times, isRunning }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = isRunning && setInterval(() => tick(Date.now()), 500);
    return () => clearInterval(timer);
  }, [isRunning]);
  const ms = (times.ended ?? (isRunning ? now : times.began)) - times.began;
  return ms > 0 && html`<span class="time">${length(ms)}</span>`;
}

/** JSON, one click away. */
export function Raw({ value, label = "JSON" }) {
  const [isOpen, open] = useState(false);
  return html`<div class="raw">
    <button type="button" class="quiet small" aria-expanded=${isOpen} onClick=${() => open(!isOpen)}><${Icon} name="code" size="14" />${label}</button>
    ${isOpen && html`<pre tabindex="0">${pretty(value)}</pre>`}
  </div>`;
}

const MOST = 200_000;

/** JSON as people read it; of very much, the beginning. */
export function pretty(value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  return text.length > MOST ? `${text.slice(0, MOST)}\n… (${text.length} characters)` : text;
}
