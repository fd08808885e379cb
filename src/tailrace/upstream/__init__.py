"""The way to providers: HTTP, watchdogs, retries, and the registry of who is there."""
