"""Tailrace: a streaming-first LLM harness. Any provider's stream becomes one canonical, durable event log per run."""

__version__ = "0.1.0"
