// How a run is asked for: instructions, effort, limits, and the tools that the page offers for its reader to answer.

import { Dialog } from "./dialog.js";
import { html, useState } from "./html.js";

const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"];
const EXAMPLE = [
  {
    name: "get_weather",
    description: "The weather at a place, now.",
    parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
  },
  {
    name: "run_command",
    description: "Run a shell command.",
    parameters: { type: "object", properties: { command: { type: "string" } }, required: ["command"] },
  },
];

/** The form's text fields as the API takes them; absent where they are empty. Throws where one cannot be read. */
export function optionsOf(fields) {
  const options = {};
  if (fields.instructions.trim()) options.instructions = fields.instructions;
  if (fields.effort) options.reasoning_effort = fields.effort;
  if (fields.most) options.max_output_tokens = Number(fields.most);
  if (fields.temperature !== "") options.temperature = Number(fields.temperature);
  if (fields.tools.trim()) {
    let tools;
    try {
      tools = JSON.parse(fields.tools);
    } catch (error) {
      throw new Error(`The tools are no JSON: ${error.message}`);
    }
    if (!Array.isArray(tools)) throw new Error("The tools must be a list, [ … ].");
    options.tools = tools;
  }
  return options;
}

const fieldsOf = (options) => ({
  instructions: options.instructions ?? "",
  effort: options.reasoning_effort ?? "",
  most: String(options.max_output_tokens ?? ""),
  temperature: String(options.temperature ?? ""),
  tools: options.tools ? JSON.stringify(options.tools, null, 2) : "",
});

export function Options({ settings, onClose }) {
  const [fields, write] = useState(() => fieldsOf(settings.get("options")));
  const [error, complain] = useState("");
  const field = (name) => ({
    value: fields[name],
    onInput: (event) => write({ ...fields, [name]: event.target.value }),
  });
  const save = (event) => {
    event.preventDefault();
    try {
      settings.set("options", optionsOf(fields));
      onClose();
    } catch (wrong) {
      complain(wrong.message);
    }
  };
  return html`<${Dialog} title="How it is asked" onClose=${onClose}>
    <form class="fields" onSubmit=${save}>
      <label>Instructions<textarea rows="3" ...${field("instructions")} placeholder="What the model is told before everything else" /></label>
      <div class="columns">
        <label>Reasoning effort<select ...${field("effort")}><option value="">default</option>${EFFORTS.map((effort) => html`<option key=${effort}>${effort}</option>`)}</select></label>
        <label>Most output tokens<input type="number" min="1" step="1" ...${field("most")} placeholder="no limit" /></label>
        <label>Temperature<input type="number" min="0" max="2" step="0.1" ...${field("temperature")} placeholder="default" /></label>
      </div>
      <label>Tools that you answer yourself<textarea class="mono" rows="6" spellcheck="false" ...${field("tools")} placeholder='[{"name": …, "description": …, "parameters": …}]' /></label>
      <p class="hint">When the model calls one of them, the run waits, and you write the output into its card.</p>
      ${error && html`<p class="error-text" role="alert">${error}</p>`}
      <div class="row end">
        <button type="button" onClick=${() => write({ ...fields, tools: JSON.stringify(EXAMPLE, null, 2) })}>Example tools</button>
        <span class="space" />
        <button type="button" onClick=${() => write(fieldsOf({}))}>Clear</button>
        <button type="submit" class="primary">Save</button>
      </div>
    </form>
  <//>`;
}
