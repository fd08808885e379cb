// The list of threads.

import { SESSION } from "../state/session.js";
import { THREAD } from "../state/thread.js";
import { LIST } from "../state/threads.js";
import { ago, clock } from "./format.js";
import { classes, html, memo, useEffect, useRef, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";

const FIRST = 60; // rows drawn at once; more as one scrolls

export function Sidebar({ session, act }) {
  useTopic(session, SESSION);
  useTopic(session.threads, LIST);
  useTopic(session.thread, THREAD);
  const [drawn, draw] = useState(FIRST);
  const { threads } = session;
  const shown = threads.shown();
  const onScroll = ({ target }) => {
    if (target.scrollHeight - target.scrollTop - target.clientHeight > 300) return;
    if (drawn < shown.length) draw(drawn + FIRST);
    else session.quietly(() => threads.more());
  };
  return html`<nav class="sidebar" id="threads" aria-label="Threads">
    <div class="brand"><img src=${new URL("../icon.svg", import.meta.url).href} alt="" width="26" height="26" /><span>Tailrace</span>
      <span class="space" />
      <button type="button" class="quiet only-narrow" onClick=${act.toggleSidebar} aria-label="Hide the threads"><${Icon} name="cross" /></button></div>
    <button type="button" class="new" onClick=${act.create}><${Icon} name="plus" />New thread</button>
    <label class="search"><${Icon} name="search" size="16" /><input type="search" id="search" placeholder="Search" aria-label="Search threads" value=${threads.search}
      onInput=${(event) => threads.find(event.target.value)} /></label>
    <${Tags} session=${session} />
    <ul class="threads" onScroll=${onScroll} tabindex="-1">
      ${shown.slice(0, drawn).map(
        (thread) => html`<${Entry} key=${thread.thread_id} thread=${thread} title=${threads.title(thread)}
        status=${statusOf(session, thread.thread_id)} isOpen=${thread.thread_id === session.thread.id} act=${act} minute=${Math.floor(Date.now() / 60_000)} />`,
      )}
      ${threads.isLoaded && shown.length === 0 && html`<li class="hint none">${threads.search || threads.tag ? "No thread matches." : "No threads yet."}</li>`}
    </ul>
    <div class="row foot-row">
      <button type="button" class="quiet" onClick=${act.settings}><${Icon} name="gear" />Settings</button>
      <span class="space" />
      <button type="button" class="quiet" onClick=${act.help} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)"><${Icon} name="keyboard" /></button>
    </div>
  </nav>`;
}

/** The status of the thread's live run: of the open one it is known at once, of others since the last look. */
function statusOf({ thread, threads }, threadId) {
  if (threadId === thread.id && thread.state === "ready") return thread.live?.reducer.status;
  return threads.live.get(threadId)?.status;
}

function Tags({ session }) {
  const { threads } = session;
  const tags = threads.tags();
  if (!tags.length && !threads.tag) return null;
  return html`<div class="tags" role="group" aria-label="Only with this tag">${tags.map(
    (tag) => html`<button key=${tag} type="button"
    class=${classes("chip", tag === threads.tag && "chosen")} aria-pressed=${tag === threads.tag}
    onClick=${() => session.quietly(() => threads.filter(tag === threads.tag ? "" : tag))}>${tag}</button>`,
  )}</div>`;
}

const LIVE = { queued: "queued", in_progress: "working", requires_action: "waits for an answer" };

const Entry = memo(({ thread, title, status, isOpen, act }) => {
  const [isEdited, edit] = useState(false);
  if (isEdited) return html`<${Editor} thread=${thread} title=${title} act=${act} onEnd=${() => edit(false)} />`;
  const { thread_id, updated_at, tags } = thread;
  return html`<li class=${classes("entry", isOpen && "open")}>
    <a href=${`#/threads/${encodeURIComponent(thread_id)}`} aria-current=${isOpen ? "page" : null} onClick=${act.leaveSidebar}>
      <span class="name">${title}</span>
      <span class="meta">${status ? html`<span class=${`live ${status}`}><span class="dot" />${LIVE[status]}</span>` : html`<time title=${clock(updated_at)}>${ago(updated_at)}</time>`}
        ${(tags ?? []).map((tag) => html`<span key=${tag} class="tag">${tag}</span>`)}</span>
    </a>
    <span class="tools">
      <button type="button" class="quiet small" onClick=${() => edit(true)} aria-label=${`Rename ${title}`} title="Rename, tags"><${Icon} name="edit" size="15" /></button>
      <button type="button" class="quiet small" onClick=${() => act.remove(thread_id)} aria-label=${`Delete ${title}`} title="Delete"><${Icon} name="trash" size="15" /></button>
    </span>
  </li>`;
});

function Editor({ thread, title, act, onEnd }) {
  const name = useRef(null);
  const tags = useRef(null);
  useEffect(() => name.current.select(), []);
  const save = (event) => {
    event.preventDefault();
    const words = tags.current.value
      .split(",")
      .map((tag) => tag.trim())
      .filter(Boolean);
    act.change(thread.thread_id, {
      title: name.current.value.trim() || null,
      tags: words.length ? [...new Set(words)] : null,
    });
    onEnd();
  };
  return html`<li><form class="editor" onSubmit=${save} onKeyDown=${(event) => event.key === "Escape" && onEnd()}>
    <input ref=${name} aria-label="Title" defaultValue=${thread.title ?? title} />
    <input ref=${tags} aria-label="Tags, separated by commas" placeholder="tags, separated by commas" defaultValue=${(thread.tags ?? []).join(", ")} />
    <div class="row end"><button type="button" class="small" onClick=${onEnd}>Cancel</button><button type="submit" class="small primary">Save</button></div>
  </form></li>`;
}
