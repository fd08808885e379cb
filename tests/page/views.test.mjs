// What the views compute before anything is drawn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Branches } from "../../ui/state/branches.js";
import { format, parse } from "../../ui/state/route.js";
import { spans } from "../../ui/views/ansi.js";
import { Blocks, htmlOf } from "../../ui/views/blocks.js";
import { changes, isPatch } from "../../ui/views/diff.js";
import { pieces } from "../../ui/views/long_text.js";

const TEXT = `# Title

A paragraph, *in words*.

1. one

   \`\`\`js
   let x;
   \`\`\`
2. two

| a | b |
|---|---|
| 1 | 2 |

> quoted
lazily

\`\`\`python
def f(): ...

# more
\`\`\`

<b>html</b>

Setext
======
- [ ] to do
`;

const shown = (blocks) =>
  blocks.map((block) => (block.kind === "html" ? htmlOf(block) : `${block.lang}:${block.text}`)).join("");

test("Markdown that grew is what it is at once", () => {
  const whole = shown(new Blocks().update(TEXT, true));
  for (const size of [1, 2, 7, 50]) {
    const grown = new Blocks();
    for (let at = 0; at < TEXT.length; at += size) grown.update(TEXT.slice(0, at + size), false);
    assert.equal(shown(grown.update(TEXT, true)), whole, `in pieces of ${size}`);
  }
});

test("tags that could act are text, plain ones are tags", () => {
  const text =
    'a<br>b <sub>2</sub> <img src=x onerror=1> <SCRIPT>x</SCRIPT> <b style="x">c</b>\n\n<div onclick=1>\n<p>d\n';
  const made = shown(new Blocks().update(text, true));
  assert.ok(made.includes("a<br>b <sub>2</sub> &lt;img src=x onerror=1> &lt;SCRIPT>x&lt;/SCRIPT>"), made);
  assert.ok(made.includes('&lt;b style="x">c</b>') && made.includes("&lt;div onclick=1>\n<p>d"), made);
});

test("what is finished is not read again", () => {
  const blocks = new Blocks();
  const before = blocks.update("one\n\ntwo\n\nthree\n\nfour\n\nfi", false);
  const after = blocks.update("one\n\ntwo\n\nthree\n\nfour\n\nfive and more", false);
  assert.equal(before[0], after[0]);
  assert.equal(before[1], after[1]);
});

test("Markdown that a lexer chokes on is still text", () => {
  for (const text of [
    ">".repeat(20_000),
    "[".repeat(20_000),
    "\t\r\n x\r\n\ty\r\n",
    "*".repeat(5000),
    "|a\n|-\n".repeat(3000),
  ]) {
    assert.ok(new Blocks().update(text, true).length >= 1);
  }
});

test("long text is cut at lines, and its beginning stays", () => {
  const line = "x".repeat(70);
  const text = Array.from({ length: 1000 }, (_, at) => `${at} ${line}\n`).join("");
  const once = pieces(text);
  assert.equal(once.join(""), text);
  const more = pieces(`${text}tail`, once);
  assert.equal(more.join(""), `${text}tail`);
  assert.equal(more[0], once[0]);
  assert.equal(pieces("y".repeat(100_000)).join("").length, 100_000);
});

test("a terminal's colours are kept, its other commands are not", () => {
  const text = "plain \x1b[1;31mred\x1b[0m \x1b[2J\x1b]0;title\x07\x1b[38;5;200mpink\x1b[39m\x00 50%\r100%\r\n";
  assert.deepEqual(
    spans(text)
      .map(({ text: said, classes }) => [said, classes])
      .filter(([said]) => said.trim()),
    [
      ["plain ", ""],
      ["red", "ansi-bold ansi-red"],
      ["pink", ""],
      ["100%\n", ""],
    ],
  );
});

test("patches of both kinds are known", () => {
  assert.ok(isPatch("*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** End Patch"));
  assert.ok(isPatch("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n"));
  assert.ok(!isPatch("- a list\n+ of things"));
  assert.deepEqual(changes("--- a\n+++ b\n@@ -1 +1,2 @@\n-x\n+y\n+z\n"), { added: 2, removed: 1 });
});

test("addresses say where one is, and back", () => {
  const routes = [
    { thread: "t/1", run: "r", item: "i%", log: false },
    { thread: "t", run: "r", item: null, log: true },
  ];
  for (const route of routes) assert.deepEqual(parse(format(route)), route);
  assert.equal(format({}), "#/");
  assert.deepEqual(parse("#/%E0%A4%A/threads"), { thread: null, run: null, item: null, log: false });
});

test("a thread's branches: the one to the newest run, or the chosen one", () => {
  const runs = [undefined, undefined, "r0", undefined, null, "r1"].map((after, at) => ({ id: `r${at}`, after }));
  const tree = new Branches();
  const shown = () => tree.path(runs).map(({ id }) => id);
  assert.deepEqual(shown(), ["r0", "r1", "r5"]);
  tree.show(runs, runs[3]);
  assert.deepEqual(shown(), ["r0", "r2", "r3"]);
  tree.show(runs, runs[4]);
  assert.deepEqual(shown(), ["r4"]);
  assert.deepEqual(tree.siblings(runs, runs[2]), [runs[1], runs[2]]);
  assert.equal(tree.parent(runs, runs[4]), null);
  runs.push({ id: "r6" });
  tree.show(runs, runs[6]);
  assert.deepEqual(shown(), ["r0", "r1", "r5", "r6"]);
});
