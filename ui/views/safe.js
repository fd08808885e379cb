// HTML that others made, as nodes that can do no harm: the one place where HTML text becomes part of the page.

import "../vendor/purify.js"; // a script of the older kind: it leaves its name with the window

const { DOMPurify } = globalThis;

const PROSE = {
  ALLOWED_TAGS: [
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "input",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
  ],
  ALLOWED_ATTR: [
    "align",
    "alt",
    "checked",
    "class",
    "colspan",
    "dir",
    "href",
    "open",
    "rowspan",
    "src",
    "start",
    "title",
  ],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|data:image\/(?:png|jpeg|gif|webp|avif);base64,)/i,
  RETURN_DOM_FRAGMENT: true,
};
const COLOURS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
const LANGUAGE = /^language-[\w+#.-]+$/;

/** What is left of this HTML when everything that could act, or look like the page's own, is taken out. */
export function safe(htmlText) {
  const nodes = DOMPurify.sanitize(htmlText, PROSE);
  for (const node of nodes.querySelectorAll("[class]"))
    if (!LANGUAGE.test(node.className)) node.removeAttribute("class");
  for (const image of nodes.querySelectorAll("img")) if (!isData(image)) image.replaceWith(linkTo(image));
  for (const link of nodes.querySelectorAll("a[href]")) tame(link);
  for (const box of nodes.querySelectorAll("input")) tick(box);
  return nodes;
}

/** The highlighter's HTML: spans with a class. */
export function coloured(htmlText) {
  return DOMPurify.sanitize(htmlText, COLOURS);
}

const isData = (image) => /^data:/i.test(image.getAttribute("src") ?? "");

/** A link leaves the page, and takes nothing of it along. */
function tame(link) {
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
}

/** A picture from elsewhere is a link to it: to fetch it would tell elsewhere who reads this. */
function linkTo(image) {
  const link = document.createElement("a");
  const source = image.getAttribute("src");
  link.textContent = image.getAttribute("alt") || source || "image";
  if (source) link.href = source;
  return link;
}

function tick(box) {
  box.type = "checkbox";
  box.disabled = true;
  box.setAttribute("aria-label", box.checked ? "done" : "to do");
}
