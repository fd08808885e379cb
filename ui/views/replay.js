// A run played once more from its log, as fast as it was, or faster.

import { Run, WHOLE } from "../state/run.js";
import { count, length } from "./format.js";
import { html, useEffect, useMemo, useRef, useState, useTopic } from "./html.js";
import { Icon } from "./icons.js";
import { Item } from "./item.js";
import { rowsOf } from "./rows.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 10, 50];

/** The run as it was after its first `position` events, and how to move on: a fold of that much of the log. */
class Player {
  position = 0;

  constructor(source) {
    this.source = source;
    this.run = new Run(null, source.id);
    this.run.isReplay = true;
  }

  /** Milliseconds since the run began, at the position. */
  get time() {
    const { events } = this.source;
    return this.position ? events[this.position - 1].timestamp - events[0].timestamp : 0;
  }

  /** Take in what was said until `ms` after the beginning. */
  play(ms) {
    const { events } = this.source;
    let to = this.position;
    while (to < events.length && events[to].timestamp - events[0].timestamp <= ms) to += 1;
    if (to > this.position) this.run.take(events.slice(this.position, to));
    this.position = to;
  }

  to(position) {
    this.run.take(this.source.events.slice(this.position, position));
    this.position = position;
  }
}

export function Replay({ run }) {
  const [player, load] = useState(() => new Player(run));
  const [isPlaying, play] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [, draw] = useState(0);
  usePlaying(
    player,
    isPlaying,
    speed,
    () => draw((at) => at + 1),
    () => play(false),
  );
  const seek = (position) => {
    const fresh = position < player.position ? new Player(run) : player;
    fresh.to(position);
    load(fresh);
    draw((at) => at + 1);
  };
  const toggle = () => {
    if (!isPlaying && player.position >= run.events.length) load(new Player(run));
    play(!isPlaying);
  };
  const whole = run.events.length ? run.events.at(-1).timestamp - run.events[0].timestamp : 0;
  return html`<div class="replay">
    <div class="row filters">
      <button type="button" class="round primary" onClick=${toggle} disabled=${!run.events.length} aria-label=${isPlaying ? "Pause" : "Play"}><${Icon} name=${isPlaying ? "pause" : "play"} /></button>
      <input type="range" min="0" max=${run.events.length} value=${player.position} aria-label="Event" aria-valuetext=${`event ${player.position}`} onInput=${(event) => seek(Number(event.target.value))} />
      <label class="inline">Speed<select aria-label="Speed" value=${speed} onChange=${(event) => setSpeed(Number(event.target.value))}>${SPEEDS.map((one) => html`<option key=${one} value=${one}>${one}×</option>`)}</select></label>
    </div>
    <p class="hint">event ${count(player.position)} of ${count(run.events.length)} · ${length(player.time)} of ${length(whole)}</p>
    <${Stage} run=${player.run} />
  </div>`;
}

/** Moves on in each frame, by the time that has passed, times the speed. */
function usePlaying(player, isPlaying, speed, moved, done) {
  const frame = useRef(0);
  useEffect(() => {
    if (!isPlaying) return undefined;
    let before = performance.now();
    let time = player.time;
    const step = (now) => {
      time += (now - before) * speed;
      before = now;
      player.play(time);
      moved();
      if (player.position >= player.source.events.length) done();
      else frame.current = requestAnimationFrame(step);
    };
    frame.current = requestAnimationFrame(step);
    return () => cancelAnimationFrame(frame.current);
  }, [player, isPlaying, speed]);
}

const NOTHING = { resend: null };
const SHOWN = 60;

function Stage({ run }) {
  useTopic(run, WHOLE);
  const place = useRef(null);
  const rows = useMemo(
    () => rowsOf([run]).filter((row) => row.id),
    [run, run.reducer.itemIds.length, run.reducer.lastSeq],
  );
  useEffect(() => {
    place.current.scrollTop = place.current.scrollHeight;
  });
  return html`<div class="stage" ref=${place} tabindex="0" role="region" aria-label="The run, played">
    ${rows.slice(-SHOWN).map((row) => html`<${Item} key=${row.key} run=${run} id=${row.id} answer=${row.answer} act=${NOTHING} />`)}
  </div>`;
}
