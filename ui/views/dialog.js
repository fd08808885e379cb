// A dialog as browsers have it: focus stays within, Escape closes it.

import { html, useEffect, useId, useRef } from "./html.js";
import { Icon } from "./icons.js";

export function Dialog({ title, onClose, children, kind = "" }) {
  const place = useRef(null);
  const id = useId();
  useEffect(() => {
    const dialog = place.current;
    dialog.showModal();
    return () => dialog.open && dialog.close();
  }, []);
  const outside = (event) => event.target === place.current && onClose();
  return html`<dialog ref=${place} class=${kind} aria-labelledby=${id} onClose=${onClose} onPointerDown=${outside}>
    <div class="dialog-head"><h2 id=${id}>${title}</h2>
      <button type="button" class="quiet" aria-label="Close" onClick=${onClose}><${Icon} name="cross" /></button></div>
    ${children}
  </dialog>`;
}
