// Before anything is drawn: the theme that was chosen, if one was. (A classic script, so that it runs first.)
try {
  const theme = JSON.parse(localStorage.getItem("tailrace.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Nothing is remembered: the system's.
}
