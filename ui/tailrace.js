// The client library: read runs as they grow, from a browser or from Node. No dependency (docs/page.md).

export { fold, hasEnded, Reducer, TERMINAL } from "./state/fold.js";
export { Client } from "./stream/client.js";
export { ApiError, Unreachable } from "./stream/errors.js";
export { follow } from "./stream/follow.js";
export { SseParser } from "./stream/sse.js";
