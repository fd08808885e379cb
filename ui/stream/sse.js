// Server-sent events out of text that comes in any pieces (WHATWG HTML §9.2.6, "Interpreting an event stream").

/** Feed it text as it comes; each `feed` returns the events that became whole: {id, type, data}. */
export class SseParser {
  lastId = "";
  retryMs = null;
  #rest = "";
  #data = [];
  #type = "";
  #begun = false;

  feed(text) {
    let buffered = this.#rest + text;
    if (!this.#begun && buffered) {
      this.#begun = true;
      if (buffered.startsWith("\uFEFF")) buffered = buffered.slice(1);
    }
    const events = [];
    let from = 0;
    for (const { index, 0: end } of buffered.matchAll(/\r\n|\r|\n/g)) {
      // A CR at the very end may be the first half of a CRLF.
      if (end === "\r" && index === buffered.length - 1) break;
      this.#line(buffered.slice(from, index), events);
      from = index + end.length;
    }
    this.#rest = buffered.slice(from);
    return events;
  }

  #line(line, events) {
    if (line === "") this.#dispatch(events);
    else if (line[0] !== ":") {
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
      this.#field(field, value);
    }
  }

  #field(field, value) {
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  #dispatch(events) {
    if (this.#data.length) events.push({ id: this.lastId, type: this.#type || "message", data: this.#data.join("\n") });
    this.#data = [];
    this.#type = "";
  }
}
