// What was said: by a person, or by the agent.

import { CopyButton } from "./copy.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { Markdown } from "./markdown.js";
import { usePaced } from "./paced.js";

export function Message({ item, grows, ...rest }) {
  if (item.origin === "user") return html`<${Asked} item=${item} ...${rest} />`;
  return html`<${Said} item=${item} grows=${grows} />`;
}

function Said({ item, grows }) {
  const text = usePaced(item.content, grows);
  const refusal = item.parts?.find((part) => part.type === "refusal");
  const sources = sourcesOf(item);
  return html`<article class=${`said ${item.origin}`} aria-label=${item.origin === "system" ? "System" : "Assistant"} aria-busy=${grows}>
    ${item.phase && item.phase !== "final_answer" && html`<p class="eyebrow">${item.phase}</p>`}
    ${refusal && html`<p class="eyebrow warn">Refused</p>`}
    <${Markdown} text=${text} grows=${grows} />
    <${Attached} parts=${item.parts} />
    ${sources.length > 0 && html`<${Sources} sources=${sources} />`}
    ${!grows && item.content && html`<div class="actions"><${CopyButton} text=${() => item.content} label="Copy answer" /></div>`}
  </article>`;
}

function sourcesOf(item) {
  const notes = (item.parts ?? []).flatMap((part) => part.annotations ?? []);
  const links = notes.map(({ url, title, cited_text, url_citation }) => ({
    url: url ?? url_citation?.url,
    title: title ?? url_citation?.title ?? cited_text,
  }));
  const web = links.filter(({ url }) => /^https?:/i.test(url ?? ""));
  return [...new Map(web.map((link) => [link.url, link])).values()];
}

function Sources({ sources }) {
  return html`<ol class="sources" aria-label="Sources">${sources.map(
    ({ url, title }) => html`<li key=${url}>
    <a href=${url} target="_blank" rel="noopener noreferrer nofollow">${title || new URL(url).hostname}</a>
  </li>`,
  )}</ol>`;
}

const isPicture = (url) => /^data:image\/(png|jpeg|gif|webp|avif);base64,/i.test(url ?? "");

/** Images and files of a message. What is elsewhere is a link: nothing is fetched from there. */
function Attached({ parts }) {
  const shown = (parts ?? []).filter((part) => part.type === "image" || part.type === "file");
  if (!shown.length) return null;
  return html`<div class="attached">${shown.map((part, at) => {
    const url = part.url ?? part.data;
    if (isPicture(url)) return html`<img key=${at} src=${url} alt="attached image" />`;
    const name = part.filename ?? part.file_id ?? (/^https?:/i.test(url ?? "") ? url : part.type);
    return html`<span key=${at} class="chip"><${Icon} name="image" size="14" />${name}</span>`;
  })}</div>`;
}

function Asked({ item, onResend }) {
  const [isEdited, edit] = useState(false);
  if (isEdited) return html`<${Edited} item=${item} onResend=${onResend} onEnd=${() => edit(false)} />`;
  return html`<article class="asked" aria-label="You">
    <div class="bubble">
      <${Attached} parts=${item.parts} />
      ${item.content && html`<${Markdown} text=${item.content} breaks=${true} />`}
    </div>
    <div class="actions">
      <${CopyButton} text=${() => item.content} label="Copy message" />
      ${
        onResend &&
        html`<button type="button" class="quiet small" data-edit onClick=${() => edit(true)} title="Edit and send again" aria-label="Edit and send again">
        <${Icon} name="edit" size="15" /></button>`
      }
    </div>
  </article>`;
}

function Edited({ item, onResend, onEnd }) {
  const area = useRef(null);
  useEffect(() => area.current.focus(), []);
  const send = async (event) => {
    event.preventDefault();
    const content = area.current.value.trim();
    if (content) await onResend(withText(item, content)).then(onEnd, () => {});
  };
  const keys = (event) => {
    if (event.key === "Escape") onEnd();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  };
  return html`<form class="asked editing" onSubmit=${send}>
    <textarea ref=${area} aria-label="Edit the message" rows=${Math.min(12, item.content.split("\n").length + 1)} onKeyDown=${keys} defaultValue=${item.content} />
    <p class="hint">It is asked anew from here. What came of it before stays, as another branch.</p>
    <div class="row end">
      <button type="button" onClick=${onEnd}>Cancel</button>
      <button type="submit" class="primary">Send again</button>
    </div>
  </form>`;
}

/** The message with another text, and the same images. */
function withText({ origin, parts }, content) {
  const others = (parts ?? []).filter((part) => part.type === "image" || part.type === "file");
  return others.length ? { origin, parts: [{ type: "text", text: content }, ...others] } : { origin, content };
}
