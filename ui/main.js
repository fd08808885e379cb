// Where it begins.

import { Session } from "./state/session.js";
import { Settings } from "./state/settings.js";
import { App } from "./views/app.js";
import { html, render } from "./views/html.js";

/** The server's own URL, whatever path it lives under: this file is `ui/main.js`, or `ui/~version/main.js`, below it. */
const home = new URL(import.meta.url.replace(/\/ui\/(~[^/]*\/)?main\.js.*$/, "/"));

const session = new Session(home.href, new Settings());
session.start(); // what it asks of the server is under way while the page is drawn
render(html`<${App} session=${session} />`, document.getElementById("app"));
