"""OpenAI's Responses API, and Open Responses, which differs from it in a few names (`whole.Form`)."""
