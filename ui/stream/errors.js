// What goes wrong between a client and the server.

/** The server's answer was an error: {"error": {"code", "message", "details"?}} (contract of the API). */
export class ApiError extends Error {
  constructor(status, { code, message, details } = {}, retryAfterMs = null) {
    super(message || `the server answered with ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.code = code || `http_${status}`;
    this.details = details ?? {};
    this.retryAfterMs = retryAfterMs;
  }

  /** May the same request succeed later? */
  get retryable() {
    return this.status === 408 || this.status === 429 || this.status >= 500;
  }

  /** From a fetch Response that is not ok; a body that is no such JSON (a proxy's page) is passed over. */
  static async of(response) {
    const seconds = Number(response.headers.get("retry-after"));
    const body = await response.json().catch(() => ({}));
    return new ApiError(response.status, body?.error ?? {}, seconds > 0 ? seconds * 1000 : null);
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {
  constructor(cause) {
    super("the server cannot be reached", { cause });
    this.name = "Unreachable";
  }
}
