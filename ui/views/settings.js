// What this browser remembers, the key that a server asks for, and the keyboard.

import { Dialog } from "./dialog.js";
import { html, useState, useTopic } from "./html.js";
import { SHORTCUTS } from "./shortcuts.js";

const THEMES = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

export function SettingsDialog({ session, onClose }) {
  useTopic(session.settings, "theme");
  const theme = session.settings.get("theme");
  return html`<${Dialog} title="Settings" onClose=${onClose}>
    <fieldset class="segments"><legend>Colours</legend>
      ${THEMES.map(([value, label]) => html`<label key=${value}><input type="radio" name="theme" checked=${theme === value} onChange=${() => session.settings.set("theme", value)} /><span>${label}</span></label>`)}
    </fieldset>
    <${Server} session=${session} onDone=${onClose} withUrl=${true} submit="Save" />
    <p class="hint">Kept in this browser only.</p>
  <//>`;
}

/** The server wants a key: it is asked for once, and nothing else is asked of the server until it is there. */
export function KeyDialog({ session }) {
  const [isAway, leave] = useState(false);
  if (isAway)
    return html`<p class="banner" role="status">This server wants a key. <button type="button" class="small" onClick=${() => leave(false)}>Give it one</button></p>`;
  return html`<${Dialog} title="This server wants a key" onClose=${() => leave(true)} kind="narrow">
    <p>${session.settings.get("key") ? "The key that this browser has is not, or no longer, accepted." : "It is one of server.api_keys in its settings."} It stays in this browser.</p>
    <${Server} session=${session} onDone=${() => {}} submit="Use this key" />
  <//>`;
}

function complaint(error, url) {
  if (error.status === 401) return "The server does not accept this key.";
  const isElsewhere = url && new URL(url).origin !== location.origin;
  if (!isElsewhere) return error.message;
  return `${error.message}. This page's policy lets it talk only to the server that it came from: open ${url} itself.`;
}

function Server({ session, onDone, withUrl = false, submit }) {
  const { settings } = session;
  const [url, aim] = useState(settings.get("url"));
  const [key, write] = useState(withUrl ? settings.get("key") : "");
  const [error, complain] = useState("");
  const [isTrying, trying] = useState(false);
  const save = async (event) => {
    event.preventDefault();
    trying(true);
    complain("");
    try {
      await session.reconnect({ url: url.trim(), key: key.trim() });
      onDone();
    } catch (wrong) {
      complain(complaint(wrong, url.trim()));
    } finally {
      trying(false);
    }
  };
  return html`<form class="fields" onSubmit=${save}>
    ${withUrl && html`<label>Server<input type="url" value=${url} placeholder=${session.home} onInput=${(event) => aim(event.target.value)} /></label>`}
    <label>API key<input type="password" autocomplete="off" autofocus=${!withUrl} value=${key} placeholder=${withUrl ? "none" : ""} onInput=${(event) => write(event.target.value)} required=${!withUrl} /></label>
    ${error && html`<p class="error-text" role="alert">${error}</p>`}
    <div class="row end"><button type="submit" class="primary" disabled=${isTrying}>${submit}</button></div>
  </form>`;
}

export function HelpDialog({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose} kind="narrow">
    <dl class="keys">${SHORTCUTS.map(({ key, says }) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${says}</dd></div>`)}
      <div><dt><kbd>Enter</kbd></dt><dd>send; with <kbd>Shift</kbd>, a new line; with <kbd>Alt</kbd>, while a run works, as the next turn</dd></div></dl>
  <//>`;
}
