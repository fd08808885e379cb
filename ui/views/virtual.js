// A list of rows of one height, of which only those are drawn that are to be seen.

import { html, useLayoutEffect, useRef, useState } from "./html.js";

const BEYOND = 10; // rows drawn above and below

/** `draw(index)` gives a row; `follow`: stay at the end while it is there. */
export function Virtual({ length, height, draw, label, follow = false }) {
  const place = useRef(null);
  const isAtEnd = useRef(follow);
  const [view, see] = useState({ top: 0, rows: 40 });
  const look = () => {
    if (!place.current) return; // a last event of what is gone from the page
    const { scrollTop, clientHeight, scrollHeight } = place.current;
    isAtEnd.current = follow && scrollHeight - scrollTop - clientHeight < height * 2;
    const next = { top: Math.floor(scrollTop / height), rows: Math.ceil(clientHeight / height) };
    see((now) => (now.top === next.top && now.rows === next.rows ? now : next));
  };
  useLayoutEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (isAtEnd.current) place.current.scrollTop = place.current.scrollHeight;
  }, [length]);
  const from = Math.max(0, view.top - BEYOND);
  const to = Math.min(length, view.top + view.rows + BEYOND);
  const rows = [];
  for (let index = from; index < to; index += 1) rows.push(draw(index));
  return html`<div class="virtual" ref=${place} onScroll=${look} role="region" aria-label=${label} tabindex="0">
    <div class="virtual-whole" style=${{ height: `${length * height}px` }}>
      <div class="virtual-shown" style=${{ transform: `translateY(${from * height}px)` }}>${rows}</div>
    </div>
  </div>`;
}
