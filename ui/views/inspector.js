// A run from within: its log as a table and as a timeline, as other clients see it, and played once more.

import { EVENTS } from "../state/run.js";
import { Dialects } from "./dialects.js";
import { count } from "./format.js";
import { classes, html, useEffect, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { LogTable } from "./log_table.js";
import { Replay } from "./replay.js";
import { Timeline } from "./timeline.js";

const TABS = [
  ["events", "Events", LogTable],
  ["timeline", "Timeline", Timeline],
  ["dialects", "Dialects", Dialects],
  ["replay", "Replay", Replay],
];

/** The whole log as JSON lines, into a file. */
function download(run) {
  const lines = run.events.map((event) => `${JSON.stringify(event)}\n`);
  const url = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${run.id}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const STATUS = { live: "live", waiting: "reconnecting", failed: "not to be read", idle: "loading" };

export function Inspector({ session, run, act }) {
  useTopic(run, EVENTS);
  const [tab, show] = useState("events");
  useEffect(() => {
    run.read();
  }, [run]);
  const View = TABS.find(([name]) => name === tab)[2];
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = TABS.findIndex(([name]) => name === tab);
    const [next] = TABS[(at + step + TABS.length) % TABS.length];
    show(next);
    document.getElementById(`tab-${next}`).focus();
  };
  return html`<aside class="inspector" aria-label="Run log">
    <header class="header">
      <h2>Log</h2><span class="hint">${count(run.events.length)} events${STATUS[run.connection] ? ` · ${STATUS[run.connection]}` : ""}</span>
      <span class="space" />
      <button type="button" class="quiet" onClick=${() => download(run)} disabled=${!run.events.length} title="All events as JSON lines"><${Icon} name="download" />Export</button>
      <button type="button" class="quiet" onClick=${act.closeLog} aria-label="Close the log"><${Icon} name="cross" /></button>
    </header>
    <div class="tabs" role="tablist" aria-label="Views of the log" onKeyDown=${keys}>
      ${TABS.map(
        ([
          name,
          label,
        ]) => html`<button key=${name} type="button" role="tab" id=${`tab-${name}`} aria-controls="tab-panel" aria-selected=${name === tab}
        tabindex=${name === tab ? 0 : -1} class=${classes(name === tab && "chosen")} onClick=${() => show(name)}>${label}</button>`,
      )}
    </div>
    <div class="panel" role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${tab}`}>
      ${run.connection === "failed" && html`<p class="error-text">${run.error?.message}</p>`}
      <${View} run=${run} session=${session} />
    </div>
  </aside>`;
}
