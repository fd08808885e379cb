// Markdown, shown block by block: while it grows, only its last blocks are drawn again.

import { Blocks, htmlOf } from "./blocks.js";
import { CodeBlock } from "./code.js";
import { html, memo, render, useLayoutEffect, useRef } from "./html.js";
import { LongText } from "./long_text.js";
import { safe } from "./safe.js";

/** `text`; `grows` while more may come; with `breaks`, line ends are kept, as people type them. */
export function Markdown({ text, grows = false, breaks = false }) {
  const held = useRef(null);
  held.current ??= new Blocks(breaks);
  const blocks = held.current.update(text, !grows);
  return html`<div class="prose" dir="auto">${blocks.map((one, at) => draw(one, grows && at === blocks.length - 1))}</div>`;
}

function draw(block, isLast) {
  const { key, kind, raw, text, lang } = block;
  if (kind === "code")
    return html`<${CodeBlock} key=${key} text=${text} lang=${lang} isOpen=${isLast && !block.isClosed} />`;
  if (kind === "plain") return html`<p key=${key} class="plain" dir="auto"><${LongText} text=${text} /></p>`;
  return html`<${HtmlBlock} key=${key} raw=${raw} block=${block} />`;
}

/** Drawn again where its Markdown is another, whatever object it comes as. */
const Nodes = memo(({ raw, read }) => {
  const place = useRef(null);
  useLayoutEffect(() => {
    const nodes = safe(read.current());
    for (const node of nodes.children) node.dir = "auto";
    const drawn = [...nodes.querySelectorAll("pre > code")].map(codeIn);
    place.current.replaceChildren(nodes);
    return () => {
      for (const holder of drawn) render(null, holder);
    };
  }, [raw]);
  return html`<div ref=${place} />`;
});

function HtmlBlock({ raw, block }) {
  const read = useRef(null);
  read.current = () => htmlOf(block);
  return html`<${Nodes} raw=${raw} read=${read} />`;
}

/** Code within a list or a quotation, as the same block that it is outside of them. */
function codeIn(code) {
  const holder = document.createElement("div");
  const text = code.textContent.replace(/\n$/, "");
  const lang = code.className.replace("language-", "");
  code.parentNode.replaceWith(holder);
  render(html`<${CodeBlock} text=${text} lang=${lang} />`, holder);
  return holder;
}
