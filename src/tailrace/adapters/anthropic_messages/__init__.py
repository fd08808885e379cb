"""The Messages wire of Anthropic: POST /v1/messages."""
