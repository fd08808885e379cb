// The open thread: its end is drawn, and what is before it as one scrolls up.

import { format } from "../state/route.js";
import { WHOLE } from "../state/run.js";
import { THREAD } from "../state/thread.js";
import { Branch } from "./branch.js";
import { RunFoot } from "./foot.js";
import { html, useEffect, useLayoutEffect, useRef, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Item } from "./item.js";
import { rowsOf } from "./rows.js";

const FIRST = 40; // rows drawn of a long thread
const MORE = 40; // rows drawn in addition, as one scrolls up
const MOST = 160; // rows drawn while the end is followed
const SOON_MS = 600; // after the thread is drawn: what can wait
const AT_END = 60; // pixels from the end that count as being there

/** Draw again when a run of the thread gets an item, or ends. */
function useRuns(thread) {
  const [, draw] = useState(0);
  useTopic(thread, THREAD);
  const runs = thread.runs.map((run) => run.id).join();
  useEffect(() => {
    const listening = thread.runs.map((run) => run.on(WHOLE, () => draw((count) => count + 1)));
    draw((count) => count + 1);
    return () => {
      for (const stop of listening) stop();
    };
  }, [thread, runs]);
}

/** Where the run, or the item, that an address names begins; -1 where it names none that is there. */
const rowOf = (rows, target) =>
  target ? rows.findIndex(({ key }) => key === target || key.startsWith(`${target}/`)) : -1;

/** How many rows at the beginning are left out, and the scroller that changes that. */
function useWindow(rows, target) {
  const scroller = useRef(null);
  const content = useRef(null);
  const isFollowing = useRef(true);
  const top = useRef(0);
  const before = useRef(null); // the scroller's height before rows were drawn above
  const [hidden, hide] = useState(() => Math.max(0, rows.length - FIRST));
  const at = rowOf(rows, target);
  const from = Math.min(hidden, Math.max(0, rows.length - FIRST), at >= 0 ? Math.max(0, at - 5) : Infinity);

  useLayoutEffect(() => {
    if (before.current === null) return;
    scroller.current.scrollTop += scroller.current.scrollHeight - before.current;
    before.current = null;
  }, [from]);

  useLayoutEffect(() => {
    const follow = () => {
      if (isFollowing.current) scroller.current.scrollTop = scroller.current.scrollHeight;
    };
    const observer = new ResizeObserver(follow);
    observer.observe(content.current);
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    if (isFollowing.current && rows.length - hidden > MOST) hide(rows.length - FIRST);
  }, [rows.length]);

  const onScroll = ({ currentTarget }) => {
    const { scrollTop, scrollHeight, clientHeight } = currentTarget; // which may be gone from the page by now
    const isAtEnd = scrollHeight - scrollTop - clientHeight < AT_END;
    isFollowing.current = isAtEnd || (isFollowing.current && scrollTop >= top.current); // what grows moves the end away
    top.current = scrollTop;
    if (scrollTop < clientHeight && from > 0 && before.current === null) {
      before.current = scrollHeight;
      hide(Math.max(0, from - MORE));
    }
  };
  return { scroller, content, isFollowing, from, onScroll };
}

/** `target` is the run, or "run/item", that the address names. */
export function ThreadView({ thread, target, act }) {
  useRuns(thread);
  const rows = rowsOf(thread.shown).filter((row) => !row.isBranch || siblings(thread, row.run).length > 1);
  const view = useWindow(rows, target);
  const shown = rows.slice(view.from);
  const found = rows[rowOf(rows, target)]?.key;
  useEffect(() => {
    const row = found && document.getElementById(found);
    if (!row) return;
    view.isFollowing.current = false;
    row.scrollIntoView({ block: "start" });
    row.classList.add("found");
  }, [target, found]);
  useEffect(() => {
    const timer = setTimeout(() => loadFacts(shown), SOON_MS);
    return () => clearTimeout(timer);
  }, [shown.length, thread]);
  return html`<div class="scroller" ref=${view.scroller} onScroll=${view.onScroll} tabindex="-1" data-hidden=${view.from}>
    <div class="column" ref=${view.content}>
      ${view.from > 0 && html`<p class="hint earlier">${view.from} earlier items: scroll up</p>`}
      ${shown.map((row) =>
        row.isBranch
          ? html`<${Branch} key=${row.key} run=${row.run} all=${siblings(thread, row.run)} show=${act.branch} />`
          : html`<${Row} key=${row.key} row=${row} act=${act} />`,
      )}
    </div>
  </div>`;
}

const siblings = (thread, run) => thread.branches.siblings(thread.runs, run);

function Row({ row, act }) {
  const { run, id, answer, key } = row;
  const address = format({ thread: run.reducer.start?.thread_id, run: run.id, item: id });
  return html`<div class="row-item" id=${key} data-run=${run.id} data-item=${id}>
    <a class="anchor" href=${address} tabindex="-1" aria-label="Link to this" title="Link to this"><${Icon} name="link" size="15" /></a>
    ${id ? html`<${Item} run=${run} id=${id} answer=${answer} act=${act} />` : html`<${RunFoot} run=${run} act=${act} />`}
  </div>`;
}

const TIMED = new Set(["function_call", "script_execution", "provider_item", "reasoning"]);
const MOST_EVENTS = 20_000;

/** How long tools took, and who decided, stands in the log alone: it is read for the runs that are looked at. */
function loadFacts(rows) {
  for (const run of new Set(rows.map((row) => row.run))) {
    const isUnknown =
      run.ended && run.connection === "idle" && run.facts.lastSeq === 0 && run.reducer.lastSeq < MOST_EVENTS;
    if (isUnknown && run.reducer.items().some((item) => TIMED.has(item.type))) run.read();
  }
}
