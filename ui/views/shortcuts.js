// The keyboard: single keys, wherever nothing is being typed.

import { useEffect } from "./html.js";

export const SHORTCUTS = [
  { key: "n", act: "create", says: "new thread" },
  { key: "/", act: "search", says: "search threads" },
  { key: "j", act: "next", says: "the thread below" },
  { key: "k", act: "previous", says: "the thread above" },
  { key: "c", act: "write", says: "write a message" },
  { key: "e", act: "edit", says: "edit the last message, and send it again" },
  { key: "r", act: "again", says: "ask the last question again" },
  { key: "l", act: "log", says: "the last run's event log" },
  { key: "t", act: "theme", says: "light or dark" },
  { key: "Escape", act: "escape", says: "stop the run, or close what is open" },
  { key: "?", act: "help", says: "these keys" },
];

const isTyping = ({ target }) => target.closest?.("input, textarea, select, dialog, [contenteditable]");

/** `act` has a function for each shortcut. */
export function useShortcuts(act) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const isEscape = event.key === "Escape" && !event.target.closest?.("dialog");
      if (isTyping(event) && !isEscape) return;
      const known = SHORTCUTS.find(({ key }) => key === event.key);
      if (!known) return;
      event.preventDefault();
      act[known.act]();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [act]);
}
