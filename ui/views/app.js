// The whole page: threads, the open thread, the inspector beside it, and what lies over them.

import { SESSION, TOASTS } from "../state/session.js";
import { THREAD } from "../state/thread.js";
import { LIST } from "../state/threads.js";
import { actions } from "./actions.js";
import { Composer } from "./composer.js";
import { CopyButton } from "./copy.js";
import { classes, html, useEffect, useMemo, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Inspector } from "./inspector.js";
import { Options } from "./options.js";
import { HelpDialog, KeyDialog, SettingsDialog } from "./settings.js";
import { useShortcuts } from "./shortcuts.js";
import { Sidebar } from "./sidebar.js";
import { ThreadView } from "./thread.js";
import { Welcome } from "./welcome.js";

export function App({ session }) {
  useTopic(session, SESSION);
  useTopic(session.settings, "theme");
  useTopic(session.settings, "sidebar");
  const [dialog, open] = useState(null);
  const [isListed, list] = useState(false); // on a narrow screen
  const act = useMemo(() => actions(session, { open, list }), [session]);
  useShortcuts(act);
  useTheme(session.settings.get("theme"));
  const { thread, route } = session;
  const inspected = route.log && thread.find(route.run);
  return html`<div class=${classes("page", isListed && "listing", inspected && "inspecting")}>
    <a class="skip" href="#say" onClick=${(event) => {
      event.preventDefault();
      act.write();
    }}>To the message field</a>
    <${Sidebar} session=${session} act=${act} />
    <div class="shade" onClick=${act.toggleSidebar} />
    <main class="main" aria-label="Thread">
      <${Head} session=${session} thread=${thread} act=${act} />
      <${Body} session=${session} thread=${thread} route=${route} act=${act} />
      <${Composer} session=${session} thread=${thread} act=${act} />
    </main>
    ${inspected && html`<${Inspector} key=${inspected.id} session=${session} run=${inspected} act=${act} />`}
    ${session.needsKey && html`<${KeyDialog} session=${session} />`}
    ${dialog === "options" && html`<${Options} settings=${session.settings} onClose=${() => open(null)} />`}
    ${dialog === "settings" && html`<${SettingsDialog} session=${session} onClose=${() => open(null)} />`}
    ${dialog === "help" && html`<${HelpDialog} onClose=${() => open(null)} />`}
    <${Toasts} session=${session} />
  </div>`;
}

function useTheme(theme) {
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
}

function Head({ session, thread, act }) {
  useTopic(thread, THREAD);
  useTopic(session.threads, LIST);
  const known = session.threads.known.get(thread.id) ?? thread.meta;
  const title = thread.id === null ? "New thread" : known ? session.threads.title(known) : "Thread";
  useEffect(() => {
    document.title = thread.id === null ? "Tailrace" : `${title} · Tailrace`;
  }, [title, thread.id]);
  return html`<header class="header">
    <button type="button" class="quiet only-narrow" onClick=${act.toggleSidebar} aria-label="Threads" aria-controls="threads"><${Icon} name="menu" /></button>
    <h1 class="thread-title">${title}</h1>
    ${session.isAway && html`<span class="away" role="status"><span class="dot" />The server cannot be reached; trying again</span>`}
    <span class="space" />
    ${thread.id && html`<${CopyButton} text=${() => location.href} label="Copy the link to this" />`}
    ${thread.last && html`<button type="button" class="quiet" onClick=${() => act.inspect(thread.last)} title="The last run's event log (l)"><${Icon} name="log" />Log</button>`}
  </header>`;
}

function Body({ session, thread, route, act }) {
  useTopic(thread, THREAD);
  if (thread.state === "missing")
    return html`<div class="welcome"><h1>There is no such thread</h1><p>It was deleted, or never was.</p>
    <button type="button" onClick=${act.create}>New thread</button></div>`;
  if (thread.id === null || (thread.state === "ready" && !thread.runs.length))
    return html`<${Welcome} session=${session} act=${act} />`;
  if (thread.state !== "ready")
    return html`<div class="welcome"><p class="hint" role="status">${thread.state === "failed" ? "The thread could not be loaded." : "Loading"}</p></div>`;
  const target = route.run && !route.log ? (route.item ? `${route.run}/${route.item}` : route.run) : null;
  return html`<${ThreadView} key=${thread.id} thread=${thread} target=${target} act=${act} />`;
}

function Toasts({ session }) {
  useTopic(session, TOASTS);
  return html`<div class="toasts" role="status" aria-live="polite">${session.toasts.map(
    ({ id, text, action, isError }) => html`<div key=${id} class=${classes("toast", isError && "wrong")}>
    <span>${text}</span>
    ${
      action &&
      html`<button type="button" class="small" onClick=${() => {
        action.run();
        session.dismiss(id);
      }}>${action.label}</button>`
    }
    <button type="button" class="quiet small" aria-label="Dismiss" onClick=${() => session.dismiss(id)}><${Icon} name="cross" size="14" /></button>
  </div>`,
  )}</div>`;
}
