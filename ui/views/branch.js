// Which of several runs that go on from the same place is shown.

import { html } from "./html.js";
import { Icon } from "./icons.js";

/** `all` are the runs, `run` the one of them that is shown; `show` shows another one. */
export function Branch({ run, all, show }) {
  const at = all.indexOf(run);
  return html`<div class="branch" role="group" aria-label="Branches">
    <${Step} to=${all[at - 1]} label="The branch before" icon="back" show=${show} />
    <span aria-live="polite">${at + 1} / ${all.length}</span>
    <${Step} to=${all[at + 1]} label="The branch behind" icon="chevron" show=${show} />
  </div>`;
}

function Step({ to, label, icon, show }) {
  return html`<button type="button" class="quiet small" disabled=${!to} aria-label=${label} title=${label} onClick=${() => show(to)}><${Icon} name=${icon} size="15" /></button>`;
}
