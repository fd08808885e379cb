"""The Responses wire of OpenAI: POST /responses."""
