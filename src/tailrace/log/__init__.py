"""The memory: one durable, gapless, sealed event log per run."""
