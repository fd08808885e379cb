// The view library, as all views use it: Preact's components written as tagged templates.

import htm from "../vendor/htm.js";
import { Component, h, render } from "../vendor/preact.js";
import { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";

export { Component, render, useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState };

export const html = htm.bind(h);

/** Draw again after each change of `topic` in `channel` (state/frame.js). */
export function useTopic(channel, topic) {
  const [, draw] = useState(0);
  useEffect(() => {
    draw((count) => count + 1); // what changed between drawing and listening
    return channel.on(topic, () => draw((count) => count + 1));
  }, [channel, topic]);
}

/** A component that is drawn again only where one of its properties is another. */
export function memo(view) {
  return class Memo extends Component {
    shouldComponentUpdate(next) {
      const names = Object.keys(next);
      return names.length !== Object.keys(this.props).length || names.some((name) => next[name] !== this.props[name]);
    }

    render(props) {
      return h(view, props);
    }
  };
}

/** Class names: those that are not false. */
export const classes = (...names) => names.filter(Boolean).join(" ");
