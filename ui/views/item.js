// One item of a run, in its place: which view it gets.

import { Card, Raw } from "./card.js";
import { Compaction } from "./compaction.js";
import { html, memo, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Message } from "./message.js";
import { ProviderItem, UnknownItem } from "./provider.js";
import { Reasoning } from "./reasoning.js";
import { Returned, Script } from "./script.js";
import { Output, ToolCall } from "./tool.js";

/** `answer` is the id of the item that answers this one and is shown within it (a call's output). */
export const Item = memo(({ run, id, answer, act }) => {
  useTopic(run, id);
  useTopic(run, answer ?? id);
  const item = run.reducer.item(id);
  if (!item) return null;
  const grows = run.reducer.isOpen(id) && !run.ended;
  const times = timesOf(run, id);
  return html`<${View} run=${run} item=${item} grows=${grows} times=${times} act=${act} answer=${answer ? run.reducer.item(answer) : null} />`;
});

/** When the item began and ended; of a replay, no more than what is over: its clock is not ours. */
function timesOf(run, id) {
  const times = run.facts.items.get(id);
  return run.isReplay && !times?.ended ? undefined : times;
}

function View({ item, ...rest }) {
  const view = VIEWS[item.type] ?? UnknownItem;
  return html`<${view} item=${item} ...${rest} />`;
}

const VIEWS = {
  message: ({ run, item, grows, act }) =>
    html`<${Message} item=${item} grows=${grows} onResend=${act.resend && isOpening(run, item.id) && ((message) => act.resend(run, item.id, message))} />`,
  reasoning: Reasoning,
  function_call({ run, item, answer, grows, times, act }) {
    const isAwaited =
      !answer && run.reducer.status === "requires_action" && run.reducer.awaited.some((call) => call.id === item.id);
    const acts = {
      decide: (approval, ...decision) => act.decide(run, approval, ...decision),
      answer: (call, output, success) => act.answer(run, call, output, success),
    };
    return html`<${ToolCall} item=${item} output=${answer} grows=${grows} isAwaited=${isAwaited} isOver=${run.ended} times=${times}
      outputTimes=${answer && run.facts.items.get(answer.id)} approvals=${run.reducer.approvalsOf(item.id)} act=${acts} />`;
  },
  function_call_output: ({
    item,
  }) => html`<${Card} icon="tool" kind="tool" title="Tool output" detail=${item.call_id} state=${item.success ? "done" : "failed"}>
    <${Output} output=${item} /><//>`,
  script_execution: ({ run, item, answer, ...rest }) =>
    html`<${Script} item=${item} output=${answer} isOver=${run.ended} script=${run.facts.scripts.get(item.id)} ...${rest} />`,
  script_execution_output: ({
    item,
  }) => html`<${Card} icon="code" kind="tool" title="Script result" state=${item.success ? "done" : "failed"}>
    <${Returned} output=${item} /><//>`,
  provider_item: (props) =>
    props.item.provider_type === "compaction"
      ? html`<${Compaction} ...${props} />`
      : html`<${ProviderItem} ...${props} />`,
  error: (props) => html`<${Broken} ...${props} title=${CODES[props.item.code] ?? "It failed"} />`,
  cancelled: (props) => html`<${Broken} ...${props} title="Stopped" />`,
};

/** Is it of what the run was asked, and not said while it worked? */
function isOpening(run, id) {
  const { reducer } = run;
  for (const each of reducer.itemIds) {
    if (each === id) return true;
    const { type, origin } = reducer.item(each);
    if (type !== "message" || origin === "agent") return false;
  }
  return false;
}

/** How error codes are told (docs/protocol.md lists them). */
export const CODES = {
  authentication: "The provider did not accept its key",
  connection: "The provider could not be reached",
  content_filter: "Held back by a content filter",
  context_overflow: "Too long for the model",
  interrupted: "Interrupted",
  limit: "A limit was reached",
  overloaded: "The provider is overloaded",
  quota_exceeded: "The provider's quota is used up",
  rate_limited: "Too many requests",
  stream_interrupted: "The answer broke off",
  timeout: "It took too long",
};

/** An item that failed or was called off: in its place, with as much of it as came. */
function Broken({ item, title, ...rest }) {
  return html`<div class=${`broken ${item.type}`}>
    ${item.partial && html`<div class="partial"><${View} ...${rest} item=${item.partial} grows=${false} answer=${null} act=${{ ...rest.act, resend: null }} /></div>`}
    <p class="verdict"><${Icon} name=${item.type === "error" ? "warning" : "stop"} size="15" />
      <strong>${title}</strong> <span>${item.message ?? item.reason ?? ""}</span></p>
    ${item.details && html`<${Raw} value=${item.details} label="Details" />`}
  </div>`;
}
