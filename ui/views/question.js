// What a running call asks a person: a form of plain values, or a page to open.

import { ago } from "./format.js";
import { html, useState } from "./html.js";
import { Icon } from "./icons.js";

/** `decide(approval, decision, reason, content)` tells the server; what it makes of it comes back as an event. */
export function Question({ approval, decide }) {
  const { message, schema, url } = approval.question;
  const [sent, send] = useState("");
  const say = (decision, content) => {
    send(decision);
    decide(approval, decision, "", content).catch(() => send(""));
  };
  const submit = (event) => {
    event.preventDefault();
    say("approved", schema ? contentOf(schema, new FormData(event.target)) : undefined);
  };
  const required = schema?.required ?? [];
  return html`<form class="ask approval" aria-label="Question" onSubmit=${submit}>
    <p><${Icon} name="shield" size="16" /><strong><code>${approval.tool}</code> asks</strong>${" "}<span class="hint">the question lapses ${ago(approval.expires_at)}</span></p>
    <p>${message}</p>
    ${url && html`<${Page} url=${url} />`}
    ${Object.entries(schema?.properties ?? {}).map(
      ([name, field]) =>
        html`<${Field} key=${name} name=${name} field=${field} isRequired=${required.includes(name)} />`,
    )}
    <div class="row end">
      <button type="button" class="danger" disabled=${sent !== ""} onClick=${() => say("denied")}>Decline</button>
      <button type="button" disabled=${sent !== ""} onClick=${() => say("cancelled")}>Leave it open</button>
      <button type="submit" class="primary" disabled=${sent !== ""}>${url ? "I agree" : "Answer"}</button>
    </div>
  </form>`;
}

/** Whole, so that a person sees where it leads; a link only where it is one of the web's. */
function Page({ url }) {
  return /^https?:\/\//.test(url)
    ? html`<p><a href=${url} target="_blank" rel="noopener noreferrer">${url}</a></p>`
    : html`<p><code>${url}</code></p>`;
}

const INPUTS = { email: "email", uri: "url", date: "date" };

function Field({ name, field, isRequired }) {
  const label = html`<span>${field.title ?? name}${isRequired ? "" : html`${" "}<span class="hint">optional</span>`}</span>`;
  const hint = field.description && html`<span class="hint">${" "}${field.description}</span>`;
  const choices = choicesOf(field.type === "array" ? (field.items ?? {}) : field);
  if (field.type === "boolean")
    return html`<label class="field"><input type="checkbox" name=${name} defaultChecked=${field.default} />${label}${hint}</label>`;
  if (choices.length > 0) {
    const given = [field.default ?? []].flat();
    return html`<label class="field">${label}${hint}<select name=${name} multiple=${field.type === "array"} required=${isRequired}>
      ${field.type !== "array" && !isRequired && html`<option value=""></option>`}
      ${choices.map(([value, title]) => html`<option value=${value} selected=${given.includes(value)}>${title}</option>`)}
    </select></label>`;
  }
  const isNumber = field.type === "number" || field.type === "integer";
  return html`<label class="field">${label}${hint}<input name=${name} type=${isNumber ? "number" : (INPUTS[field.format] ?? "text")}
    step=${isNumber ? (field.type === "integer" ? 1 : "any") : undefined} required=${isRequired} min=${field.minimum} max=${field.maximum}
    minlength=${field.minLength} maxlength=${field.maxLength} defaultValue=${field.default} /></label>`;
}

function choicesOf({ oneOf, anyOf, enum: values, enumNames }) {
  const titled = oneOf ?? anyOf;
  if (titled) return titled.map((choice) => [choice.const, choice.title ?? choice.const]);
  return (values ?? []).map((value, index) => [value, enumNames?.[index] ?? value]);
}

/** What was filled in, as the schema's types have it; what was left empty is left out. */
function contentOf(schema, form) {
  const content = {};
  for (const [name, field] of Object.entries(schema.properties)) {
    const values = form.getAll(name).filter((value) => value !== "");
    if (field.type === "boolean") content[name] = values.length > 0;
    else if (field.type === "array" && values.length > 0) content[name] = values;
    else if (values.length > 0)
      content[name] = field.type === "number" || field.type === "integer" ? Number(values[0]) : values[0];
  }
  return content;
}
