"""The chat dialect: OpenAI's Chat Completions, as its many clients speak it."""
