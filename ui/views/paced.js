// Drawing what grows as often as that is cheap.

import { useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const REST = 5; // a text that takes long to draw rests this many times as long before it is drawn again

/** `text`, as often as it can be drawn without anybody noticing: each frame, where that is cheap. */
export function usePaced(text, grows) {
  const pace = useRef({ shown: text, next: 0, timer: 0 });
  const [, draw] = useState(0);
  const begun = performance.now();
  const isDue = !grows || begun >= pace.current.next;
  if (isDue) pace.current.shown = text;
  useLayoutEffect(() => {
    const now = performance.now();
    if (isDue) pace.current.next = now + (now - begun) * REST;
    else
      pace.current.timer ||= setTimeout(() => {
        pace.current.timer = 0;
        draw((count) => count + 1);
      }, pace.current.next - now);
  });
  useEffect(() => () => clearTimeout(pace.current.timer), []);
  return pace.current.shown;
}
