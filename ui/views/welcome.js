// A thread that is still empty: what can be said.

import { SESSION } from "../state/session.js";
import { html, useTopic } from "./html.js";

const DEMO = [
  { label: "Say hello", prompt: "hello" },
  { label: "Watch it think", prompt: "think about rivers" },
  { label: "Call a tool", prompt: "what is the weather?", isTool: true },
  { label: "Call three at once", prompt: "in parallel, please", isTool: true },
  { label: "A long answer", prompt: "a long 1500 slow 4 answer" },
  { label: "Let it fail", prompt: "an error, please" },
];
const TOOL = {
  name: "get_weather",
  description: "The weather at a place, now.",
  parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
};

export function Welcome({ session, act }) {
  useTopic(session, SESSION);
  const isDemo = session.models.some((model) => model.startsWith("demo/"));
  const ask = (content) => act.say({ origin: "user", content }).catch(() => {});
  const callTool = (content) => {
    const options = session.settings.get("options");
    if (!options.tools?.length) session.settings.set("options", { ...options, tools: [TOOL] });
    ask(content);
  };
  return html`<div class="welcome">
    <img src=${new URL("../icon.svg", import.meta.url).href} alt="" width="48" height="48" />
    <h1>What shall it do?</h1>
    <p>Every run is a log of events. Reload this page, open it twice, or stop the server in the middle: it goes on where it was.</p>
    ${
      isDemo &&
      html`<div class="tries" role="group" aria-label="Things to try">
      ${DEMO.map(
        ({
          label,
          prompt,
          isTool,
        }) => html`<button key=${label} type="button" onClick=${() => (isTool ? callTool : ask)(prompt)}>
        <strong>${label}</strong><span>${prompt}</span></button>`,
      )}
    </div>`
    }
  </div>`;
}
