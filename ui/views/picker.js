// Choosing one of many by typing a part of its name; what is typed may be chosen, too.

import { classes, html, useEffect, useId, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";

/** `options` [{value, label, hint?}]; "" is the default. With `isFree`, any typed text may be chosen. */
export function Picker({ label, value, options, none, isFree = false, onChange }) {
  const [isOpen, open] = useState(false);
  const place = useRef(null);
  useEffect(() => {
    const outside = (event) => isOpen && !place.current.contains(event.target) && open(false);
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [isOpen]);
  const choose = (chosen) => {
    open(false);
    onChange(chosen);
    place.current.querySelector("button").focus();
  };
  return html`<div class="picker" ref=${place}>
    <button type="button" class="pill" aria-haspopup="dialog" aria-expanded=${isOpen} aria-label=${`${label}: ${value || none}`} onClick=${() => open(!isOpen)}>
      <span>${value || none}</span><${Icon} name="chevron" size="14" /></button>
    ${isOpen && html`<${List} label=${label} value=${value} options=${[{ value: "", label: none }, ...options]} isFree=${isFree} choose=${choose} close=${() => open(false)} />`}
  </div>`;
}

function matching(options, typed, isFree) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = options.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word)));
  const isNew = isFree && typed.trim() && !options.some((option) => option.value === typed.trim());
  return isNew ? [...found, { value: typed.trim(), label: `Use “${typed.trim()}”` }] : found;
}

function List({ label, value, options, isFree, choose, close }) {
  const [typed, type] = useState("");
  const [at, move] = useState(0);
  const id = useId();
  const field = useRef(null);
  const found = matching(options, typed, isFree);
  useEffect(() => field.current.focus(), []);
  const keys = (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown") move(Math.min(found.length - 1, at + 1));
    else if (event.key === "ArrowUp") move(Math.max(0, at - 1));
    else if (event.key === "Enter" && found[at]) choose(found[at].value);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`<div class="popover" role="dialog" aria-label=${label}>
    <input ref=${field} type="text" role="combobox" aria-label=${`Find: ${label}`} aria-controls=${id} aria-expanded="true"
      aria-activedescendant=${`${id}-${at}`} placeholder=${isFree ? "Find, or type a name" : "Find"} value=${typed}
      onInput=${(event) => {
        type(event.target.value);
        move(0);
      }} onKeyDown=${keys} />
    <ul role="listbox" id=${id} aria-label=${label}>
      ${found.map(
        (
          option,
          index,
        ) => html`<li key=${option.value} id=${`${id}-${index}`} role="option" aria-selected=${option.value === value}
        class=${classes(index === at && "active")} onClick=${() => choose(option.value)}>
        <span>${option.label}</span>${option.hint && html`<span class="hint">${option.hint}</span>`}${option.value === value && html`<${Icon} name="check" size="14" />`}
      </li>`,
      )}
      ${found.length === 0 && html`<li class="hint" role="option" aria-selected="false" aria-disabled="true">Nothing of that name</li>`}
    </ul>
  </div>`;
}
