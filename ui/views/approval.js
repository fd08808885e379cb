// A tool call that waits for a person: what exactly is asked, and the decision.

import { readCall } from "./calls.js";
import { ago } from "./format.js";
import { html, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Question } from "./question.js";

const SAID = {
  approved: "Approved",
  approved_for_run: "Approved for this run",
  denied: "Denied",
  cancelled: "Left open",
  expired: "Nobody decided in time",
};

/** `decide(approval, decision, reason, content)` tells the server; what it makes of it comes back as an event. */
export function Approval({ approval, decide }) {
  if (approval.resolution) return html`<${Decided} ...${approval.resolution} />`;
  const view = approval.question ? Question : Ask;
  return html`<${view} approval=${approval} decide=${decide} />`;
}

/** How it was decided, by whom, and what they said of it. */
function Decided({ decision, by, reason }) {
  return html`<p class=${`decided ${decision}`}><${Icon} name="shield" size="15" />
    <span>${SAID[decision] ?? decision}${by && decision !== "expired" && ` by ${by}`}${reason && html`: <q dir="auto">${reason}</q>`}</span></p>`;
}

function Ask({ approval, decide }) {
  const [reason, write] = useState("");
  const [sent, send] = useState("");
  const say = (decision) => async () => {
    send(decision);
    await decide(approval, decision, decision === "denied" ? reason.trim() : "").catch(() => send(""));
  };
  const call = readCall(approval);
  return html`<div class="ask approval" role="group" aria-label="Approval">
    <p><${Icon} name="shield" size="16" /><strong>May it run <code>${approval.tool}</code>?</strong>${" "}<span class="hint">the question lapses ${ago(approval.expires_at)}</span></p>
    ${approval.reason && html`<p>${approval.reason}</p>`}
    <pre tabindex="0" aria-label="exactly this">${call.text}</pre>
    <input type="text" aria-label="Reason for a denial" placeholder="Why not? (told to the model with a denial)" value=${reason} onInput=${(event) => write(event.target.value)} />
    <div class="row end">
      <button type="button" class="danger" disabled=${sent !== ""} onClick=${say("denied")}>Deny</button>
      <button type="button" disabled=${sent !== ""} onClick=${say("approved_for_run")}>Approve for this run</button>
      <button type="button" class="primary" disabled=${sent !== ""} onClick=${say("approved")}>Approve</button>
    </div>
  </div>`;
}
