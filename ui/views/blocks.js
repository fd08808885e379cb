// Markdown that grows, as blocks: what is finished stays as it is, only the end is read anew.

import { Lexer, Parser, Renderer } from "../vendor/marked.js";

const UNSETTLED = 2; // tokens at the end that what comes next may still change
const MOST_INLINE = 100_000; // characters of one block that are still looked through for Markdown
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:\s/m; // of a link, which may be used before it

/** The blocks of a text that is given again as it grows: {key, kind: "code" | "html" | "plain", raw, …}. */
export class Blocks {
  #text = "";
  #settled = [];
  #offset = 0; // how much of the text the settled blocks are

  constructor(breaks = false) {
    this.breaks = breaks;
  }

  /** `isWhole`: nothing comes after this. */
  update(text, isWhole) {
    if (!text.startsWith(this.#text) || (isWhole && DEFINITION.test(text))) {
      this.#settled = [];
      this.#offset = 0;
    }
    this.#text = text;
    const tokens = lexed(text.slice(this.#offset), this.breaks);
    const settled = isWhole ? tokens.length : Math.max(0, tokens.length - UNSETTLED);
    for (const token of tokens.slice(0, settled)) {
      this.#offset += token.raw.length;
      this.#settled.push(...block(token, this.#settled.length));
    }
    const blocks = [...this.#settled];
    for (const token of tokens.slice(settled)) blocks.push(...block(token, blocks.length));
    return blocks;
  }
}

/** Top-level tokens; where the lexer gives up, the text is one plain token. */
function lexed(text, breaks) {
  if (text === "") return [];
  try {
    const tokens = new Lexer({ gfm: true, breaks }).lex(text);
    if (tokens.reduce((sum, token) => sum + token.raw.length, 0) === text.length) return tokens;
    return [{ type: "whole", raw: text, tokens }]; // it changed the text (tabs, line ends): no place to cut at is known
  } catch {
    return [{ type: "plain", raw: text }];
  }
}

function block(token, key) {
  if (token.type === "space" || token.type === "def") return [];
  if (token.type === "code") {
    const { text, lang, raw } = token;
    return [
      {
        key,
        kind: "code",
        raw,
        text,
        lang,
        isClosed: token.codeBlockStyle === "indented" || /(```|~~~)\s*$/.test(raw),
      },
    ];
  }
  if (token.type === "plain" || token.raw.length > MOST_INLINE)
    return [{ key, kind: "plain", raw: token.raw, text: token.raw }];
  return [{ key, kind: "html", raw: token.raw, token }];
}

/** Tags that may stand in Markdown, without any attribute; all others are shown as they were written. */
const TAG =
  /<(?!\/?(?:b|br|code|dd|del|details|div|dl|dt|em|i|ins|kbd|li|mark|ol|p|s|small|strong|sub|summary|sup|u|ul)\s*\/?>)/gi;

class Plain extends Renderer {
  html({ text }) {
    return text.replace(TAG, "&lt;");
  }
}

const renderer = new Plain();

/** The HTML of a block; not yet fit to be shown (safe.js). */
export function htmlOf({ token }) {
  return new Parser({ renderer }).parse(token.type === "whole" ? token.tokens : [token]);
}
