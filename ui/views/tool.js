// A tool call with its output, growing in one card; who must decide or answer does it there.

import { isTerminal, Terminal } from "./ansi.js";
import { Approval } from "./approval.js";
import { detailOf, parsed, readCall } from "./calls.js";
import { Card, pretty } from "./card.js";
import { Code, Foldable } from "./code.js";
import { CopyButton } from "./copy.js";
import { Diff, isPatch } from "./diff.js";
import { html, useState } from "./html.js";
import { LongText } from "./long_text.js";

/** `output` is the call's output, where it has come; `approvals` what is, or was, asked of a person about it. */
export function ToolCall({ item, output, grows, isAwaited, isOver, times, outputTimes, approvals, act }) {
  const call = readCall(item);
  const asked = approvals.some((approval) => !approval.resolution);
  const state = asked && !isOver ? "waiting" : stateOf({ output, grows, isOver, isWaiting: isAwaited });
  const whole = times && { began: times.began, ended: outputTimes ? outputTimes.ended : times.ended };
  return html`<${Card} icon=${call.kind === "patch" ? "edit" : call.kind === "command" ? "code" : "tool"} kind="tool" title=${item.name || "tool"}
      detail=${grows ? "" : detailOf(call)} state=${state} times=${whole}>
    <${Arguments} call=${call} grows=${grows} isCustom=${item.kind === "custom"} />
    ${approvals.map((approval) => html`<${Approval} key=${approval.approval_id} approval=${approval} decide=${act.decide} />`)}
    ${output && !(asked && !output.output) && html`<${Output} output=${output} isCommand=${call.kind === "command"} />`}
    ${isAwaited && !asked && html`<${Answer} call=${item} answer=${act.answer} />`}
  <//>`;
}

function stateOf({ output, grows, isOver, isWaiting }) {
  if (output) return output.success ? "done" : "failed";
  if (isOver) return grows ? "cancelled" : "done";
  return isWaiting ? "waiting" : "running";
}

function Arguments({ call, grows, isCustom }) {
  if (call.kind === "command")
    return html`<pre class="terminal" tabindex="0" aria-label="command"><span class="prompt">$ </span>${call.text}</pre>`;
  if (call.kind === "patch") return html`<${Diff} text=${call.text} />`;
  if (!call.text || call.text === "{}") return html`<p class="hint">${grows ? "…" : "No arguments"}</p>`;
  return html`<${Foldable} text=${call.text} grows=${grows}>
    ${(shown) => html`<pre tabindex="0" aria-label="arguments"><${Code} text=${shown} language=${grows || isCustom ? null : "json"} /></pre>`}
  <//>`;
}

/** What a tool answered. Also for an output that stands alone, its call being in an earlier run. */
export function Output({ output, isCommand = false }) {
  const value = isCommand ? undefined : parsed(output.output);
  const isJson = typeof value === "object" && value !== null;
  const text = isJson ? pretty(value) : output.output;
  if (!text) return html`<p class="hint">${output.success ? "No output" : "It failed without a word."}</p>`;
  const draw = (shown) => {
    if (!isJson && isPatch(text)) return html`<${Diff} text=${shown} />`;
    const isConsole = isCommand || isTerminal(text);
    return html`<pre class=${isConsole ? "terminal" : "output"} tabindex="0" aria-label="output">${
      isJson
        ? html`<${Code} text=${shown} language="json" />`
        : isConsole
          ? html`<${Terminal} text=${shown} />`
          : html`<${LongText} text=${shown} />`
    }</pre>`;
  };
  return html`<div class="outcome">
    <div class="label"><span>${output.success ? "Output" : "Failed"}</span><${CopyButton} text=${() => output.output} label="Copy output" /></div>
    <${Foldable} text=${text}>${draw}<//>
  </div>`;
}

/** The run waits for this output: whoever looks at it may be the one who has it. */
function Answer({ call, answer }) {
  const [text, write] = useState("");
  const [isSent, sent] = useState(false);
  const send = (success) => async (event) => {
    event.preventDefault();
    sent(true);
    await answer(call, text, success).catch(() => sent(false));
  };
  return html`<form class="ask" onSubmit=${send(true)}>
    <p><strong>The run waits for this tool's output.</strong> Its client runs it; you may answer in its place.</p>
    <textarea rows="2" aria-label=${`Output of ${call.name}`} placeholder="Output" value=${text} onInput=${(event) => write(event.target.value)} />
    <div class="row end">
      <button type="button" disabled=${isSent} onClick=${send(false)}>Send as a failure</button>
      <button type="submit" class="primary" disabled=${isSent}>Send output</button>
    </div>
  </form>`;
}
