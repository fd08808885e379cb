// The same run as other protocols tell it, side by side.

import { html, useEffect, useState } from "./html.js";
import { LongText } from "./long_text.js";

const DIALECTS = ["native", "responses", "chat", "messages", "upserts"];
const MOST = 3_000_000; // characters of one of them that are shown

/** The frames of a dialect as they come, as text. */
function useFrames(session, run, dialect) {
  const [text, show] = useState("");
  const [error, complain] = useState(null);
  useEffect(() => {
    const aborter = new AbortController();
    show("");
    complain(null);
    readFrames(session.client, run.id, dialect, aborter.signal, show).catch((wrong) => {
      if (!aborter.signal.aborted) complain(wrong);
    });
    return () => aborter.abort();
  }, [run, dialect]);
  return { text, error };
}

async function readFrames(client, runId, dialect, signal, show) {
  let text = "";
  for await (const piece of client.frames(runId, dialect, { signal })) {
    text += piece;
    if (text.length > MOST) text = `${text.slice(0, MOST)}\n…`;
    show(text);
    if (text.length > MOST) return;
  }
}

export function Dialects({ run, session }) {
  const [chosen, choose] = useState(["native", "responses"]);
  const set = (at) => (event) => choose(chosen.map((name, index) => (index === at ? event.target.value : name)));
  return html`<div class="dialects">${chosen.map((dialect, at) => html`<${Column} key=${at} session=${session} run=${run} dialect=${dialect} at=${at} onChange=${set(at)} />`)}</div>`;
}

function Column({ session, run, dialect, at, onChange }) {
  const { text, error } = useFrames(session, run, dialect);
  return html`<section class="dialect" aria-label=${dialect}>
    <select aria-label=${`Dialect ${at + 1}`} value=${dialect} onChange=${onChange}>${DIALECTS.map((name) => html`<option key=${name}>${name}</option>`)}</select>
    ${error && html`<p class="error-text">${error.message}</p>`}
    <pre tabindex="0"><${LongText} text=${text} /></pre>
  </section>`;
}
