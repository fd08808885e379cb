"""The Gemini wire of Google: POST models/{model}:streamGenerateContent, on the Gemini API and on Vertex AI."""
