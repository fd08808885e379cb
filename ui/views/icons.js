// Icons, drawn here: 24 by 24, as lines.

import { html } from "./html.js";

const PATHS = {
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M20 20l-4-4",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  retry: "M4 12a8 8 0 1 0 2.500-5.800M4 4v4.500h4.500",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.500l4.500 4.500L19 7.500",
  cross: "M6 6l12 12M18 6L6 18",
  chevron: "M9 6l6 6-6 6",
  back: "M15 6l-6 6 6 6",
  menu: "M4 7h16M4 12h16M4 17h16",
  log: "M4 6h16M4 12h10M4 18h13",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6M12 3v3M12 18v3M3 12h3M18 12h3M5.600 5.600l2.100 2.100M16.300 16.300l2.100 2.100M5.600 18.400l2.100-2.100M16.300 7.700l2.100-2.100",
  sliders:
    "M4 8h9M19 8h1M4 16h1M11 16h9M16 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5M8 13.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5",
  image: "M4 5h16v14H4zM4 16l4.500-4.500L13 16l3-3 4 4M15.500 8.500v.01",
  tool: "M14.500 6.500a4 4 0 0 1 5-1l-2.700 2.700 1 1L20.500 6.500a4 4 0 0 1-5.300 5L8 18.700 5.300 16l7.200-7.200a4 4 0 0 1 2-2.300",
  thought:
    "M9 18h6M10 21h4M12 3a6 6 0 0 0-3.500 10.900c.600.500 1 1.200 1 2.100h5c0-.900.400-1.600 1-2.100A6 6 0 0 0 12 3",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  code: "M8 8l-4 4 4 4M16 8l4 4-4 4M14 5l-4 14",
  shield: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6z",
  warning: "M12 4l9 16H3zM12 10v4M12 17v.01",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8v.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5",
  moon: "M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10",
  play: "M8 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  keyboard: "M3 6h18v12H3zM7 10v.01M11 10v.01M15 10v.01M8 14h8",
};

/** An icon beside words; where it stands alone, its button has the label. */
export function Icon({ name, size = 18 }) {
  return html`<svg class="icon" viewBox="0 0 24 24" width=${size} height=${size} aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
