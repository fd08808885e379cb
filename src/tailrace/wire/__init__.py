"""Framing without meaning: SSE, NDJSON, partial JSON. Pure."""
