// A button that copies, and says that it did.

import { html, useEffect, useState } from "./html.js";
import { Icon } from "./icons.js";

const SAID_MS = 1500;

/** Into the clipboard; also where the page is not served securely, and browsers hide the clipboard from it. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** `text` is a function that gives what is copied. */
export function CopyButton({ text, label = "Copy" }) {
  const [said, say] = useState("");
  useEffect(() => {
    const timer = said && setTimeout(() => say(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const act = () =>
    copy(text()).then(
      () => say("Copied"),
      () => say("Not allowed"),
    );
  return html`<button type="button" class="quiet small" onClick=${act} aria-label=${label} title=${label}>
    <${Icon} name=${said === "Copied" ? "check" : "copy"} size="15" />${said && html`<span role="status">${said}</span>`}
  </button>`;
}
