// Where one writes: text, images by paste and drop, the model, and send or stop.

import { DRAFT } from "../state/drafts.js";
import { SESSION } from "../state/session.js";
import { THREAD } from "../state/thread.js";
import { classes, html, useEffect, useLayoutEffect, useRef, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Picker } from "./picker.js";

const MOST_BYTES = 8 * 1024 * 1024; // of all images together; the server takes 16 MB in base64
const MOST_HEIGHT = 260;

/** The files that are images, as data URLs. */
function read(files) {
  const images = [...files].filter((file) => /^image\/(png|jpeg|gif|webp)$/.test(file.type));
  return Promise.all(
    images.map(
      (file) =>
        new Promise((resolve, reject) => {
          const reader = new FileReader();
          reader.onload = () => resolve({ name: file.name, size: file.size, url: reader.result });
          reader.onerror = () => reject(reader.error);
          reader.readAsDataURL(file);
        }),
    ),
  );
}

/** What takes in the images that go along: a list of files, what was pasted, what was dropped. */
function useImages(session, threadId) {
  const [isDropped, drop] = useState(false);
  const add = async (files) => {
    const added = await read(files);
    const images = [...session.drafts.of(threadId).images, ...added];
    if (images.reduce((sum, image) => sum + image.size, 0) <= MOST_BYTES) session.drafts.change(threadId, { images });
    else session.toast("These images are too large: 8 MB at most, all together.", { isError: true });
  };
  const onPaste = (event) => {
    if (event.clipboardData.files.length) event.preventDefault();
    add(event.clipboardData.files);
  };
  const onDragOver = (event) => {
    event.preventDefault();
    drop(true);
  };
  const onDrop = (event) => {
    event.preventDefault();
    drop(false);
    add(event.dataTransfer.files);
  };
  return { add, onPaste, isDropped, dropping: { onDragOver, onDragLeave: () => drop(false), onDrop } };
}

/** The message as it is sent. */
function messageOf(text, images) {
  if (!images.length) return { origin: "user", content: text };
  const said = text.trim() ? [{ type: "text", text }] : [];
  return { origin: "user", parts: [...said, ...images.map(({ url }) => ({ type: "image", url }))] };
}

export function Composer({ session, thread, act }) {
  useTopic(thread, THREAD);
  const { drafts } = session;
  useTopic(drafts, DRAFT);
  const { text, images } = drafts.of(thread.id);
  const { add, onPaste, isDropped, dropping } = useImages(session, thread.id);
  const [sent, sending] = useState(null); // the thread whose message is on its way
  const area = useRef(null);
  const live = thread.live;
  const isSending = sent === thread;
  const isEmpty = !text.trim() && !images.length;

  useLayoutEffect(() => {
    area.current.style.height = "auto";
    area.current.style.height = `${Math.min(MOST_HEIGHT, area.current.scrollHeight)}px`;
  }, [text]);
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) area.current.focus();
  }, [thread]);

  const send = async (job) => {
    if (isEmpty || isSending) return;
    sending(thread);
    try {
      await job();
    } catch {
      area.current.focus(); // what was written stays; why it was not sent has been said
    } finally {
      sending(null);
    }
  };
  const queue = () => send(() => act.say(messageOf(text, images), { whenBusy: "enqueue" }));
  const steer = () => send(() => act.steer(live, text));
  const canSteer = live && !images.length; // a run at work hears text
  const say = live ? (canSteer ? steer : queue) : () => send(() => act.say(messageOf(text, images)));
  const keys = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (live && (event.altKey || event.ctrlKey || event.metaKey)) queue();
    else say();
  };
  const submit = (event) => {
    event.preventDefault();
    say();
  };
  return html`<form class=${classes("composer", isDropped && "dropped")} aria-label="Say something" onSubmit=${submit} ...${dropping}>
    <${Images} images=${images} remove=${(image) => drafts.change(thread.id, { images: images.filter((one) => one !== image) })} />
    <textarea ref=${area} rows="1" id="say" aria-label="Message" placeholder=${live ? "Say something while it works" : "Say something"} value=${text} readonly=${isSending}
      onInput=${(event) => drafts.change(thread.id, { text: event.target.value })} onKeyDown=${keys} onPaste=${onPaste} />
    <div class="row">
      <${Choices} session=${session} add=${add} act=${act} />
      <span class="sends">
        ${live && !isEmpty && html`<${Busy} canSteer=${canSteer} isOff=${isSending} queue=${queue} />`}
        ${live ? html`<${Stop} stop=${() => act.stop(live)} />` : html`<${Send} isOff=${isEmpty || isSending} />`}
      </span>
    </div>
  </form>`;
}

/** What can be done with words while a run works. */
const Busy = ({ canSteer, isOff, queue }) => html`<span class="busy" role="group" aria-label="While it works">
    <button type="button" disabled=${isOff} onClick=${queue} title="A turn of its own, when this run has ended (Alt+Enter)">Queue</button>
    ${canSteer && html`<button type="submit" class="primary" disabled=${isOff} title="To the run at work: heard after the step at hand (Enter)">Tell it now</button>`}
  </span>`;
const Stop = ({ stop }) =>
  html`<button type="button" class="round stop" data-stop onClick=${stop} aria-label="Stop" title="Stop (Esc)"><${Icon} name="stop" /></button>`;
const Send = ({ isOff }) =>
  html`<button type="submit" class="round primary" disabled=${isOff} aria-label="Send" title="Send (Enter)"><${Icon} name="send" /></button>`;

function Images({ images, remove }) {
  if (!images.length) return null;
  return html`<ul class="images" aria-label="Images to be sent">${images.map(
    (image) => html`<li key=${image.url}>
    <img src=${image.url} alt=${image.name} />
    <button type="button" class="quiet small" aria-label=${`Remove ${image.name}`} onClick=${() => remove(image)}><${Icon} name="cross" size="14" /></button>
  </li>`,
  )}</ul>`;
}

/** Model, agent, options, and a button for images. */
function Choices({ session, add, act }) {
  useTopic(session, SESSION);
  const { settings } = session;
  useTopic(settings, "model");
  useTopic(settings, "agent");
  useTopic(settings, "options");
  const file = useRef(null);
  const chosen = Object.keys(settings.get("options")).length;
  return html`
    <button type="button" class="quiet" onClick=${() => file.current.click()} aria-label="Add images" title="Add images (or paste, or drop them)"><${Icon} name="image" /></button>
    <input ref=${file} class="unseen" type="file" accept="image/png,image/jpeg,image/gif,image/webp" multiple tabindex="-1" aria-label="Images"
      onChange=${(event) => {
        add(event.target.files);
        event.target.value = "";
      }} />
    <button type="button" class=${classes("quiet", chosen && "chosen")} onClick=${act.options} aria-label="How it is asked" title="Instructions, effort, tools"><${Icon} name="sliders" />${chosen > 0 && html`<span class="count">${chosen}</span>`}</button>
    <${Picker} label="Model" value=${settings.get("model")} none="Default model" isFree=${true} options=${session.models.map((model) => ({ value: model, label: model }))}
      onChange=${(model) => settings.set("model", model)} />
    ${
      session.agents.length > 0 &&
      html`<${Picker} label="Agent" value=${settings.get("agent")} none="No agent"
      options=${session.agents.map(({ agent_id, model_id }) => ({ value: agent_id, label: agent_id, hint: model_id }))} onChange=${(agent) => settings.set("agent", agent)} />`
    }`;
}
