// A block of code: coloured when it is whole, folded when it is long, to be copied.

import { CopyButton } from "./copy.js";
import { count } from "./format.js";
import { highlighted, languageOf } from "./highlight.js";
import { html, memo, useEffect, useRef, useState } from "./html.js";
import { LongText } from "./long_text.js";
import { coloured } from "./safe.js";

const FOLDED_LINES = 40;
const FOLDED_CHARACTERS = 6000;

/** The beginning of a long text, cut at a line, and how many lines there are; `text` itself where it is short. */
export function folded(text, lines = FOLDED_LINES, characters = FOLDED_CHARACTERS) {
  let at = 0;
  for (let line = 0; line < lines; line += 1) {
    const end = text.indexOf("\n", at);
    if (end < 0 || end > characters) break;
    at = end + 1;
  }
  if (text.indexOf("\n", at) < 0 && text.length <= characters) return { head: text, isLong: false };
  return { head: text.slice(0, at && at <= characters ? at : Math.min(text.length, characters)), isLong: true };
}

const lineCount = (text) => {
  let lines = 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
};

/** A text that is folded where it is long, with a button that unfolds it. While it `grows`, its end is shown. */
export function Foldable({ text, children: draw, grows = false }) {
  const [isOpen, open] = useState(false);
  const { head, isLong } = folded(text);
  const shown = isOpen || !isLong || grows ? text : head;
  return html`${draw(shown)}
    ${
      isLong &&
      !grows &&
      html`<button type="button" class="unfold" aria-expanded=${isOpen} onClick=${() => open(!isOpen)}>
      ${isOpen ? "Show less" : `Show all ${count(lineCount(text))} lines`}
    </button>`
    }`;
}

/** Code in colours; plain until they are there, and where there are none. */
export function Code({ text, language }) {
  const place = useRef(null);
  const [colours, paint] = useState(null);
  useEffect(() => {
    let isWanted = true;
    highlighted(text, language).then((htmlText) => isWanted && paint(htmlText && { htmlText, text }));
    return () => {
      isWanted = false;
    };
  }, [text, language]);
  const isPainted = colours?.text === text;
  useEffect(() => {
    if (isPainted) place.current.replaceChildren(coloured(colours.htmlText));
  }, [isPainted, colours]);
  return isPainted
    ? html`<code key="painted" ref=${place} />`
    : html`<code key="plain"><${LongText} text=${text} /></code>`;
}

/** A fenced block. `isOpen`: it still grows. */
export const CodeBlock = memo(({ text, lang, isOpen = false }) => {
  const language = languageOf(lang);
  return html`<figure class="code">
    <figcaption><span>${lang || "text"}</span><${CopyButton} text=${() => text} label="Copy code" /></figcaption>
    <${Foldable} text=${text} grows=${isOpen}>
      ${(shown) => html`<pre tabindex="0"><${Code} text=${shown} language=${isOpen ? null : language} /></pre>`}
    <//>
  </figure>`;
});
