"""The chat wire of OpenAI and of the many who copied it: POST /chat/completions."""
