// Colours for code: each language's grammar is fetched when it is first met.

import hljs from "../vendor/highlight.js";

const MOST = 60_000; // characters; colours are not worth a frozen page
const ALIASES = {
  c: "cpp",
  "c++": "cpp",
  h: "cpp",
  console: "bash",
  golang: "go",
  html: "xml",
  js: "javascript",
  jsx: "javascript",
  json5: "json",
  jsonl: "json",
  md: "markdown",
  patch: "diff",
  py: "python",
  rs: "rust",
  sh: "bash",
  shell: "bash",
  svg: "xml",
  toml: "ini",
  ts: "typescript",
  tsx: "typescript",
  yml: "yaml",
  zsh: "bash",
};
const GRAMMARS = new Set([
  "bash",
  "cpp",
  "css",
  "diff",
  "go",
  "ini",
  "java",
  "javascript",
  "json",
  "markdown",
  "python",
  "rust",
  "sql",
  "typescript",
  "xml",
  "yaml",
]);

/** The language as its grammar is called; null where there is none. */
export function languageOf(info) {
  const word = (info ?? "")
    .trim()
    .split(/[\s{:,]/)[0]
    .toLowerCase();
  const name = ALIASES[word] ?? word;
  return GRAMMARS.has(name) ? name : null;
}

/** Coloured HTML of `code` (made of its escaped text and spans alone); null where it stays plain. */
export async function highlighted(code, language) {
  if (!language || code.length > MOST) return null;
  if (!hljs.getLanguage(language)) {
    const grammar = await import(`../vendor/highlight-${language}.js`).catch(() => null);
    if (!grammar) return null; // another version of the page is served by now: without colours
    hljs.registerLanguage(language, grammar.default);
  }
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
