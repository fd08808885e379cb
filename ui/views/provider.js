// What a provider did by itself (searches, images, code), as a picture of it; the provider's own JSON is a click away.

import { Terminal } from "./ansi.js";
import { parsed } from "./calls.js";
import { Card, pretty, Raw } from "./card.js";
import { Code, Foldable } from "./code.js";
import { html } from "./html.js";
import { Markdown } from "./markdown.js";

// Beginning of a provider_type -> icon and words; the first that fits.
const KINDS = [
  ["web_search_tool_result", "globe", "Search results"],
  ["web_search", "globe", "Searched the web"],
  ["x_search", "globe", "Searched X"],
  ["web_fetch", "globe", "Read a page"],
  ["file_search", "search", "Searched files"],
  ["tool_search", "search", "Looked for tools"],
  ["image_generation", "image", "Made an image"],
  ["code_interpreter", "code", "Ran code"],
  ["code_execution", "code", "Result of code"],
  ["bash_code_execution", "code", "Result of a command"],
  ["text_editor_code_execution", "edit", "Edited a file"],
  ["shell_call_output", "code", "Output of a command"],
  ["shell_call", "code", "Ran a command"],
  ["local_shell_call", "code", "Ran a command"],
  ["apply_patch", "edit", "Patched a file"],
  ["computer_call", "image", "Used a computer"],
  ["mcp_list_tools", "tool", "Listed a server's tools"],
  ["mcp_approval_request", "shield", "Asked for approval"],
  ["mcp", "tool", "Used a server's tool"],
  ["server_tool_use", "tool", "Used a tool"],
  ["program", "code", "Program"],
  ["fallback", "retry", "Another model took over"],
];

/** Icon and words for a type; of one that nobody knew, the type itself. */
export function kindOf(type) {
  const [, icon, words] = KINDS.find(([start]) => type.startsWith(start)) ?? [null, "code", type.replaceAll("_", " ")];
  return { icon, words };
}

const texts = (value) => (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "string" && one);
const objects = (value) =>
  (Array.isArray(value) ? value : [value]).filter((one) => typeof one === "object" && one !== null);

/** What a provider's JSON says that people want to see, by the names that its fields have with all of them. */
export function readItem(data) {
  const given = typeof data === "object" && data !== null ? data : {};
  const action = objects(given.action)[0] ?? {};
  const input = objects(given.input)[0] ?? parsed(given.arguments) ?? parsed(given.input) ?? {};
  const content = objects(given.content);
  const asked = [
    action.queries,
    action.query,
    given.queries,
    input.query,
    action.url,
    input.url,
    action.commands,
    action.command,
  ];
  return {
    queries: [...new Set(asked.flatMap(texts))],
    links: linksIn([...content, ...objects(action.sources), ...objects(given.results)]),
    code: texts(given.code)[0] ?? texts(input.code)[0] ?? texts(input.command)[0],
    images: imagesIn(given),
    console: consoleOf(given, content),
    text: texts([content[0]?.text, given.content, texts(given.output)[0], given.error].filter(Boolean)).join("\n\n"),
    names: objects(given.tools)
      .concat(content.flatMap((one) => objects(one.tool_references)))
      .map((tool) => tool.name ?? tool.tool_name)
      .filter(Boolean),
    name: texts([given.name, given.server_label ?? given.server_name].filter(Boolean)).join(" · "),
    patch: texts(given.operation?.diff)[0],
    path: texts(given.operation?.path)[0],
  };
}

function linksIn(found) {
  const links = found.map(({ url, title, filename }) => ({ url, title: title ?? filename }));
  return links.filter(({ url, title }) => /^https?:/i.test(url ?? "") || (title && !url));
}

const FORMATS = /^(png|jpeg|webp|gif)$/;

function imagesIn({ result, output_format: format, outputs }) {
  const base64 = typeof result === "string" && result.length > 40 && /^[A-Za-z0-9+/=\s]+$/.test(result) ? result : null;
  const made = base64 ? [`data:image/${FORMATS.test(format) ? format : "png"};base64,${base64}`] : [];
  return made.concat(
    objects(outputs)
      .map((one) => one.url)
      .filter((url) => /^data:image\//.test(url ?? "")),
  );
}

function consoleOf({ output, outputs, stdout, stderr }, content) {
  const said = [...objects(output), ...objects(outputs), ...content, { stdout, stderr }];
  return said.flatMap((one) => texts([one.stdout, one.stderr, one.logs].filter(Boolean))).join("\n");
}

export function ProviderItem({ item, grows, times }) {
  const { icon, words } = kindOf(item.provider_type);
  const seen = readItem(item.data);
  const status = item.data?.status;
  const state = grows ? "running" : status === "failed" || item.data?.is_error ? "failed" : "done";
  return html`<${Card} icon=${icon} kind="provider" title=${words} detail=${seen.queries[0] ?? seen.name ?? ""} state=${state} times=${times}
      isOpen=${grows || seen.images.length > 0 || item.provider_type === "code_interpreter_call"}>
    <${Picture} seen=${seen} />
    ${item.text && html`<${Markdown} text=${item.text} grows=${grows} />`}
    <${Raw} value=${item.data} />
  <//>`;
}

function Picture({ seen }) {
  return html`
    ${seen.queries.length > 0 && html`<ul class="queries">${seen.queries.map((query) => html`<li key=${query}>${query}</li>`)}</ul>`}
    ${seen.path && html`<p class="detail">${seen.path}</p>`}
    ${seen.patch && html`<pre tabindex="0"><${Code} text=${seen.patch} language="diff" /></pre>`}
    ${seen.code && html`<${Foldable} text=${seen.code}>${(shown) => html`<pre tabindex="0"><${Code} text=${shown} language="python" /></pre>`}<//>`}
    ${seen.console && html`<${Foldable} text=${seen.console}>${(shown) => html`<pre class="terminal" tabindex="0"><${Terminal} text=${shown} /></pre>`}<//>`}
    ${seen.images.map((source, at) => html`<img key=${at} class="made" src=${source} alt="made by the provider" />`)}
    ${
      seen.links.length > 0 &&
      html`<ol class="sources">${seen.links.map(
        ({ url, title }, at) =>
          html`<li key=${at}>${
            url ? html`<a href=${url} target="_blank" rel="noopener noreferrer nofollow">${title || url}</a>` : title
          }</li>`,
      )}</ol>`
    }
    ${seen.names.length > 0 && html`<p class="chips">${seen.names.map((name) => html`<code key=${name} class="chip">${name}</code>`)}</p>`}
    ${seen.text && html`<${Foldable} text=${seen.text}>${(shown) => html`<p class="plain">${shown}</p>`}<//>`}`;
}

/** An item of a type that this page has no word for. */
export function UnknownItem({ item, grows }) {
  const text = typeof item.content === "string" ? item.content : "";
  return html`<${Card} icon="code" kind="provider" title=${String(item.type ?? "unknown").replaceAll("_", " ")} state=${grows ? "running" : "done"}>
    <p class="hint">This page has no picture for items of this type.</p>
    ${text && html`<${Foldable} text=${text}>${(shown) => html`<pre class="output" tabindex="0">${shown}</pre>`}<//>`}
    <${Foldable} text=${pretty(item)}>${(shown) => html`<pre tabindex="0"><${Code} text=${shown} language="json" /></pre>`}<//>
  <//>`;
}
